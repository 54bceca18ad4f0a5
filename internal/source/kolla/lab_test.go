package kolla

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// fromLab is the source for a lab of hosts, as an operator would configure it.
func fromLab(t *testing.T, l *lab.Lab) *Source {
	t.Helper()
	ctx, deploy := context.Background(), host.Local{}
	inv, err := inventory.Load(ctx, deploy, inventory.Options{Paths: []string{l.Kolla.Inventory}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Dir(l.Kolla.Globals)
	globals, err := inventory.LoadGlobals(ctx, deploy, config)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Inventory: inv, Globals: globals, Passwords: inventory.NewPasswords(deploy, config, secret.Secret{}),
		Deploy: deploy, Config: config, Tolerate: 0.1,
	})
}

func planned(t *testing.T, s *Source) source.Plan {
	t.Helper()
	p, err := s.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func find(tasks []source.Task, name string) (source.Task, bool) {
	i := slices.IndexFunc(tasks, func(t source.Task) bool { return t.Name == name })
	if i < 0 {
		return source.Task{}, false
	}
	return tasks[i], true
}

// capturedInto runs one task.
func capturedInto(t *testing.T, s *Source, name, host string, sink source.Sink) source.Outcome {
	t.Helper()
	out, err := s.Capture(context.Background(), task(name, host, "", true), sink)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// captured runs one task into memory.
func captured(t *testing.T, s *Source, name string) (source.Outcome, map[string]treetest.Entry) {
	t.Helper()
	tree := treetest.NewMemory()
	var read int64
	out := capturedInto(t, s, name, name, source.Sink{Tree: tree, Read: func(n int64) { read += n }})
	if tree.Open() > 0 || read == 0 {
		t.Errorf("%d files were left open, %d bytes were told", tree.Open(), read)
	}
	return out, tree.Entries()
}

func TestEveryHostIsPlannedAndRequiredOnesSaySo(t *testing.T) {
	p := planned(t, fromLab(t, labtest.Shared(t, labtest.Hosts)))
	for name, required := range map[string]bool{"deploy": true, "ctl1": true, "ctl3": true, "net1": true, "sto1": true, "cmp1": false, "cmp2": false} {
		task, ok := find(p.Tasks, name)
		if !ok || task.Required != required || task.Reason == "" || task.Path != "kolla/"+name || task.Kind != point.Files {
			t.Errorf("%s: %+v", name, task)
		}
	}
	if len(p.Skipped)+len(p.Notes) > 0 {
		t.Errorf("skipped %v, notes %v", p.Skipped, p.Notes)
	}
}

func TestDeployHoldsWhatRebuildsTheCloud(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts)
	out, tree := captured(t, fromLab(t, l), DeployName)
	if out.State != point.Good {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
	config, inv := filepath.Dir(l.Kolla.Globals), filepath.Dir(l.Kolla.Inventory)
	for _, path := range []string{
		config + "/globals.yml", config + "/globals.d/lab.yml", config + "/passwords.yml", config + "/certificates/ca/root.crt",
		l.Kolla.Inventory, inv + "/group_vars", "/etc/hosts",
	} {
		if _, ok := tree[strings.TrimPrefix(path, "/")]; !ok {
			t.Errorf("%s was not captured", path)
		}
	}
	if out.Identity["passwords"] != "plain" || out.Identity["password_keys"].(int) < 10 || out.Identity["hostname"] == "" {
		t.Errorf("identity: %v", out.Identity)
	}
	for _, value := range l.Kolla.Passwords {
		if len(value) > 8 && strings.Contains(text(t, out), value) {
			t.Fatal("the outcome holds a password")
		}
	}
	if certs := out.Identity["certificates"].([]certificate); len(certs) < 5 {
		t.Errorf("certificates: %v", certs)
	}
}

func TestHostsHoldTheStateThatNoPlaybookBringsBack(t *testing.T) {
	s := fromLab(t, labtest.Shared(t, labtest.Hosts))
	const volumes = "var/lib/docker/volumes/"
	for name, want := range map[string][]string{
		"ctl2": {"etc/kolla/mariadb/galera.cnf", volumes + "keystone_fernet_tokens/_data/0", volumes + "octavia_driver_agent/_data/status.json"},
		"cmp1": {volumes + "nova_compute/_data/compute_id", volumes + "nova_libvirt_qemu/_data/instance-0000002a.xml", volumes + "libvirtd/_data/secrets/ceph.xml"},
	} {
		out, tree := captured(t, s, name)
		if out.State != point.Good || out.Identity["hostname"] != name {
			t.Errorf("%s: %s %s, %v", name, out.State, out.Reason, out.Identity)
		}
		for _, path := range want {
			if _, ok := tree[path]; !ok {
				t.Errorf("%s: %s was not captured", name, path)
			}
		}
		for path := range tree {
			if strings.HasSuffix(path, ".log") || strings.HasSuffix(path, ".pid") || strings.HasSuffix(path, ".sock") ||
				strings.Contains(path, "mnesia") || strings.Contains(path, "kolla_etcd") || strings.Contains(path, "instances/") {
				t.Errorf("%s: %s was captured", name, path)
			}
		}
	}
}

func TestCertificatesThatEndSoonAreTold(t *testing.T) {
	s := fromLab(t, labtest.Shared(t, labtest.Hosts))
	for shift, want := range map[time.Duration]string{340 * 24 * time.Hour: "ends on ", 370 * 24 * time.Hour: "has ended on "} {
		s.o.Now = func() time.Time { return time.Now().Add(shift) }
		out, _ := captured(t, s, DeployName)
		if notes := strings.Join(out.Notes, "\n"); !strings.Contains(notes, "haproxy.pem") || !strings.Contains(notes, want) {
			t.Errorf("in %s: %q", shift, notes)
		}
	}
}
