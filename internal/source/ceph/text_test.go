package ceph

import (
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

const keyring = `[client.admin]
	key = AAAA==
	caps mon = "allow *"
[client.cinder]
	key = BBBB==
	caps mon = "profile rbd, allow command \"osd blocklist\""
	caps osd = "profile rbd pool=volumes"
[client.bootstrap-osd]
	key = CCCC==
[osd.0]
	key = DDDD==
`

func TestKeyring(t *testing.T) {
	all := ParseKeyring([]byte(keyring))
	want := map[string]string{"mon": `profile rbd, allow command "osd blocklist"`, "osd": "profile rbd pool=volumes"}
	if diff := cmp.Diff(want, all["client.cinder"].Caps); len(all) != 4 || diff != "" {
		t.Errorf("%d entities (-want +got):\n%s", len(all), diff)
	}
	other := ParseKeyring([]byte(strings.Replace(keyring, "BBBB", "EEEE", 1)))
	if all["client.cinder"].SameKey(other["client.cinder"]) || !all["osd.0"].SameKey(other["osd.0"]) {
		t.Error("keys are not told apart")
	}
	if got := string(clients([]byte(keyring))); !strings.HasPrefix(got, "[client.cinder]\n") || strings.Count(got, "[") != 1 {
		t.Errorf("clients are %s", got)
	}
}

func TestValueFiles(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{"a", "a/b", "a%2Fb", "", ".", "..", "...", "ü\x00", "A", strings.Repeat("x", 300), strings.Repeat("x", 301)} {
		file := valueFile(key)
		name, ok := strings.CutPrefix(file, "values/")
		if !ok || name == "" || strings.Trim(name, ".") == "" || strings.ContainsAny(name, "/\x00") || len(name) > longestName {
			t.Errorf("the value of %q lies in %q", key, file)
		}
		if seen[file] != "" {
			t.Errorf("%q and %q lie in one file", key, seen[file])
		}
		seen[file] = key + " "
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		answer cephcmd.Answer
		want   State
	}{
		{cephcmd.Answer{}, Present},
		{cephcmd.Answer{Err: syscall.EACCES}, Denied},
		{cephcmd.Answer{Err: syscall.EPERM}, Denied},
		{cephcmd.Answer{Err: syscall.ENOENT, Said: "No orchestrator configured"}, Absent},
		{cephcmd.Answer{Err: syscall.EINVAL, Said: "command not known"}, Absent},
		{cephcmd.Answer{Err: syscall.EINVAL, Said: "Traceback (most recent call last):\n..."}, Failed},
		{cephcmd.Answer{Err: syscall.ETIMEDOUT}, Failed},
		{cephcmd.Answer{Err: syscall.ENOSYS, Said: "radosgw-admin is not installed on x"}, Failed},
	} {
		if got, why := judge(c.answer); got != c.want || (why == "") != (got == Present || got == Denied) {
			t.Errorf("%+v is %s: %q", c.answer, got, why)
		}
	}
}

// TestSeveralClusters: each is a component, on the host its commands run on.
func TestSeveralClusters(t *testing.T) {
	on := host.Container{On: host.Local{}, Engine: "docker", Name: "ceph_mon", Enter: "auto"}
	s := New(Options{Clusters: []Cluster{
		{Cluster: cephcmd.Cluster{Name: "east", On: host.Local{}, ID: "holdfast"}},
		{Cluster: cephcmd.Cluster{Name: "west", On: on, ID: "backup"}},
	}})
	plan, err := s.Plan(t.Context())
	want := []source.Task{
		{Source: "ceph", Name: "east", Kind: point.Metadata, Mode: point.Full, Host: "local", Reason: "all of it, as client.holdfast", Path: "ceph/east", Required: true},
		{Source: "ceph", Name: "west", Kind: point.Metadata, Mode: point.Full, Host: on.String(), Reason: "all of it, as client.backup", Path: "ceph/west", Required: true},
	}
	if diff := cmp.Diff(want, plan.Tasks); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestTyped(t *testing.T) {
	for want, q := range map[string]cephcmd.Question{
		"ceph osd dump --format json":           asJSON("osd dump"),
		"ceph orch ls --export --format yaml":   cephcmd.Mgr("orch ls", "export", true, "format", "yaml"),
		"ceph config-key get 'a b'":             cephcmd.Mon("config-key get", "key", "a b"),
		"ceph osd pool ls detail --format json": asJSON("osd pool ls", "detail", "detail"),
		"ceph osd getmap 7":                     cephcmd.Mon("osd getmap", "epoch", int64(7)),
	} {
		if got := typed(q); got != want {
			t.Errorf("typed %q, want %q", got, want)
		}
	}
}
