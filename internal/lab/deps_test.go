package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/problem"
)

func TestMissingProgramsNameTheirPackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := checkMachine(Options{Galera: 1})
	if problem.KindOf(err) != problem.Usage {
		t.Fatalf("without programs: %v", err)
	}
	for _, pkg := range []string{"ansible-core", "mariadb-backup", "rsync"} {
		if !strings.Contains(problem.HintOf(err), " "+pkg) {
			t.Errorf("the hint does not name %s: %s", pkg, problem.HintOf(err))
		}
	}
	all := strings.Join(Missing(Options{OpenStack: true}), " ")
	for _, pkg := range []string{"python3-keystone", "ceph-mon", "mariadb-backup"} {
		if !strings.Contains(all, pkg) {
			t.Errorf("OpenStack needs no %s, but %s", pkg, all)
		}
	}
	if got := Missing(Options{}); strings.Contains(strings.Join(got, " "), "mariadb") {
		t.Errorf("hosts alone need %q", got)
	}
}

func TestForbidServices(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	undo, err := forbidServices(policy)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(policy); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("no executable policy: %v", err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(policy); !os.IsNotExist(err) {
		t.Errorf("the policy stays: %v", err)
	}
	if err := os.WriteFile(policy, []byte("mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if undo, err = forbidServices(policy); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(policy); err != nil || string(b) != "mine" {
		t.Errorf("the machine's own policy is now %q, %v", b, err)
	}
}

func TestUsableDirectories(t *testing.T) {
	for dir, want := range map[string]bool{
		"/srv/lab": true, "/tmp/a b": false, "/tmp/a,b": false, "/": false, "/etc/lab": false, "/var/library": true, "/run": false,
	} {
		if got := usable(dir) == nil; got != want {
			t.Errorf("%q usable: %v", dir, got)
		}
	}
}

func TestResolveFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := resolve(filepath.Join(dir, "link", "new", "lab"))
	if want := filepath.Join(dir, "new", "lab"); err != nil || got != want {
		t.Errorf("resolve gives %q, %v; want %q", got, err, want)
	}
}
