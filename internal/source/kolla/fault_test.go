package kolla

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stopSSH ends the sshd of a host, from inside its own process table.
func stopSSH(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	const script = `for p in /proc/[0-9]*; do
	[ "$(cat $p/comm)" = sshd ] && kill "${p#/proc/}"
done; :`
	if _, err := l.Run(context.Background(), name, "sh", "-c", script); err != nil {
		t.Log(err) // the host ends with its sshd, and this script with the host
	}
}

func TestHostsThatAreDown(t *testing.T) {
	l := labtest.New(t, labtest.Hosts)
	s := fromLab(t, l)
	stopSSH(t, l, "cmp1")
	p := planned(t, s)
	skipped, ok := find(p.Skipped, "cmp1")
	if !ok || skipped.Required || !strings.Contains(skipped.Reason, "nothing answers on the ssh port") || len(p.Notes) != 1 {
		t.Errorf("one compute host down: %+v, notes %v", skipped, p.Notes)
	}
	stopSSH(t, l, "cmp2")
	stopSSH(t, l, "net1")
	p = planned(t, s)
	for _, name := range []string{"cmp1", "cmp2", "net1"} {
		if skipped, ok := find(p.Skipped, name); !ok || !skipped.Required {
			t.Errorf("%s does not count as required: %+v", name, skipped)
		}
	}
	if task, ok := find(p.Tasks, "ctl1"); !ok || !task.Required {
		t.Errorf("the hosts that are up are not planned: %+v", p.Tasks)
	}
	checks := s.Check(context.Background())
	i := slices.IndexFunc(checks, func(c source.Check) bool { return c.Name == "host net1" })
	if i < 0 || checks[i].Status != source.Fail || checks[i].Mend == "" {
		t.Errorf("doctor says %+v", checks)
	}
}

func TestAHostWithAnUnknownKeyIsNotTrusted(t *testing.T) {
	s := fromLab(t, labtest.Shared(t, labtest.Hosts))
	known := filepath.Join(t.TempDir(), "known_hosts")
	s.o.Inventory.Host("sto1").Vars["ansible_ssh_common_args"] = "-o UserKnownHostsFile=" + known + " -o StrictHostKeyChecking=yes"
	skipped, ok := find(planned(t, s).Skipped, "sto1")
	if !ok || !strings.Contains(skipped.Reason, "host key of sto1 is unknown") || !strings.Contains(skipped.Reason, "ssh-keyscan") {
		t.Errorf("%+v", skipped)
	}
	_, err := s.Capture(context.Background(), task("sto1", "sto1", "", true), source.Sink{Tree: treetest.NewMemory()})
	if err == nil || !strings.Contains(err.Error(), "sto1") || problem.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

func TestChecksAreGreenOnAHealthyCloud(t *testing.T) {
	checks := fromLab(t, labtest.Shared(t, labtest.Hosts)).Check(context.Background())
	if len(checks) < 10 {
		t.Errorf("only %d checks", len(checks))
	}
	for _, c := range checks {
		if c.Status != source.OK || c.Detail == "" {
			t.Errorf("%+v", c)
		}
	}
}

// nobody runs commands on this machine as a user who may not read everything.
type nobody struct{ host.Local }

func (n nobody) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	c.Args = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, c.Args...)
	return n.Local.Start(ctx, c)
}

// deployOnly is a source whose deploy host's configuration is a directory of the test's, seen from at.
func deployOnly(t *testing.T, at host.Host, files map[string]string) (*Source, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast-kolla-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files["globals.yml"] = "openstack_release: \"2025.1\"\n"
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := inventory.Parse([]byte(`{"_meta": {"hostvars": {"localhost": {"ansible_connection": "local"}}}, "deployment": {"hosts": ["localhost"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	globals, err := inventory.LoadGlobals(context.Background(), host.Local{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Inventory: inv, Globals: globals, Deploy: at, Config: dir}), dir
}

func TestUnreadableFilesMakeTheComponentPartialByName(t *testing.T) {
	s, dir := deployOnly(t, nobody{}, map[string]string{"config/open": "a", "config/secret": "b", "closed/inside": "c"})
	for name, mode := range map[string]os.FileMode{"config/secret": 0o600, "closed": 0o700} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	out, tree := captured(t, s, DeployName)
	if out.State != point.ComponentPartial || !strings.Contains(out.Reason, dir+"/config/secret: Cannot open: Permission denied") ||
		!strings.Contains(out.Reason, dir+"/closed: Cannot open") {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
	if _, ok := tree[strings.TrimPrefix(dir, "/")+"/config/open"]; !ok {
		t.Error("what can be read was not kept")
	}
}

func TestAConfigurationThatIsNotThereFails(t *testing.T) {
	s, dir := deployOnly(t, host.Local{}, map[string]string{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err := s.Capture(context.Background(), task(DeployName, "local", "", true), source.Sink{Tree: treetest.NewMemory()})
	if problem.KindOf(err) != problem.Usage || !strings.Contains(problem.HintOf(err), "kolla.config") {
		t.Errorf("%v, hint %q", err, problem.HintOf(err))
	}
}

// atFirstByte runs a hook when the first byte of one file arrives, which is before tar can have read what follows it.
type atFirstByte struct {
	stream.Tree
	name string
	hook func()
}

func (a *atFirstByte) Create(name string, m stream.Meta, h stream.Hint) (stream.File, error) {
	if strings.HasSuffix(name, a.name) && a.hook != nil {
		a.hook()
		a.hook = nil
	}
	return a.Tree.Create(name, m, h)
}

func TestFilesThatVanishOrChangeMeanwhile(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<20) // more than all pipes between tar and us hold
	s, dir := deployOnly(t, host.Local{}, map[string]string{"config/a-big": big, "config/b-gone": "b", "config/c-stays": "c", "config/d-gone": "d"})
	tree := &atFirstByte{Tree: treetest.NewMemory(), name: "/a-big", hook: func() {
		for _, err := range []error{
			os.Remove(dir + "/config/b-gone"), os.Remove(dir + "/config/d-gone"),
			os.WriteFile(dir+"/config/a-big", []byte(big+"more"), 0o644),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	}}
	out := capturedInto(t, s, DeployName, "local", source.Sink{Tree: tree})
	notes := strings.Join(out.Notes, "\n")
	if out.State != point.Good {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
	for _, want := range []string{"/config/b-gone was deleted", "/config/d-gone was deleted", "/config/a-big changed"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q: %q", want, notes)
		}
	}
}

func TestAFileThatShrinksIsNotWhole(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<20)
	s, dir := deployOnly(t, host.Local{}, map[string]string{"config/a-big": big})
	tree := &atFirstByte{Tree: treetest.NewMemory(), name: "/a-big", hook: func() {
		if err := os.Truncate(dir+"/config/a-big", 10); err != nil {
			t.Error(err)
		}
	}}
	out := capturedInto(t, s, DeployName, "local", source.Sink{Tree: tree})
	if out.State != point.ComponentPartial || !strings.Contains(out.Reason, "/config/a-big") {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
}

func TestLinksOutOfTheConfigurationAreFollowed(t *testing.T) {
	s, dir := deployOnly(t, host.Local{}, map[string]string{"config/x": "x"})
	checkout := t.TempDir()
	if err := os.WriteFile(checkout+"/nova.conf", []byte("[DEFAULT]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"config/nova": checkout, "config/self": ".", "config/gone": "/nowhere", "config/proc": "/proc/self"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	out, tree := captured(t, s, DeployName)
	if out.State != point.Good {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
	if _, ok := tree[strings.TrimPrefix(checkout, "/")+"/nova.conf"]; !ok {
		t.Error("what the link leads to was not captured")
	}
	if e := tree[strings.TrimPrefix(dir, "/")+"/config/nova"]; e.Target != checkout {
		t.Errorf("the link is %v", e)
	}
	if !strings.Contains(strings.Join(out.Notes, "\n"), checkout) {
		t.Errorf("notes: %q", out.Notes)
	}
}

func TestPasswordsThatAnsibleVaultEncryptedAreCapturedAsTheyStand(t *testing.T) {
	s, dir := deployOnly(t, host.Local{}, map[string]string{"passwords.yml": "database_password: s3cret\n", "key": "opensesame"})
	cmd := exec.Command("ansible-vault", "encrypt", "--vault-password-file", dir+"/key", dir+"/passwords.yml")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	s.o.Passwords = inventory.NewPasswords(host.Local{}, dir, secret.Secret{})
	out, tree := captured(t, s, DeployName)
	kept := tree[strings.TrimPrefix(dir, "/")+"/passwords.yml"]
	if out.State != point.Good || out.Identity["passwords"] != "encrypted" || !strings.HasPrefix(string(kept.Data), "$ANSIBLE_VAULT;") {
		t.Errorf("%s %s, %v, %v", out.State, out.Reason, out.Identity, kept)
	}
	if err := os.Remove(dir + "/passwords.yml"); err != nil {
		t.Fatal(err)
	}
	if out, _ = captured(t, s, DeployName); out.Identity["passwords"] != "absent" || !strings.Contains(fmt.Sprint(out.Notes), "another store") {
		t.Errorf("absent: %v, %v", out.Identity, out.Notes)
	}
}

func TestDataOfTheCloudsUsersIsToldAndLeftOut(t *testing.T) {
	s, _ := deployOnly(t, host.Local{}, map[string]string{"globals.d/x.yml": ""})
	runtime := t.TempDir()
	for _, name := range []string{"glance/_data/images/8f14e45f", "keystone_fernet_tokens/_data/0", "nova_compute/_data/compute_id"} {
		p := filepath.Join(runtime, "volumes", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.o.Config, "globals.d/x.yml"), []byte("docker_runtime_directory: "+runtime+"\nkolla_container_engine: none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.o.Globals, err = inventory.LoadGlobals(context.Background(), host.Local{}, s.o.Config); err != nil {
		t.Fatal(err)
	}
	if s.o.Inventory, err = inventory.Parse([]byte(`{"_meta": {"hostvars": {"aio": {"ansible_connection": "local",
		"node_config_directory": "/nowhere/kolla"}}}, "control": {"hosts": ["aio"]}}`)); err != nil {
		t.Fatal(err)
	}
	out, tree := captured(t, s, "aio")
	notes := strings.Join(out.Notes, "\n")
	if !strings.Contains(notes, "glance's file store") || !strings.Contains(notes, "/nowhere/kolla is not there") {
		t.Errorf("notes: %q", notes)
	}
	data := strings.TrimPrefix(runtime, "/") + "/volumes/"
	if _, ok := tree[data+"keystone_fernet_tokens/_data/0"]; !ok {
		t.Errorf("keys were not captured")
	}
	if _, ok := tree[data+"glance/_data/images/8f14e45f"]; ok {
		t.Errorf("an image was captured as configuration")
	}
}
