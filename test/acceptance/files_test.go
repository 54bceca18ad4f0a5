package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/restore"
)

// TestFiles brings configuration back, whole and in parts, and compares everything that files are.
func TestFiles(t *testing.T) {
	s := onStage(t)
	etc := filepath.Join(s.lab.HostDir("ctl1"), "etc/kolla")
	odd := oddDir(t, s)
	rel, err := filepath.Rel(etc, odd)
	if err != nil {
		t.Fatal(err)
	}
	for _, syntax := range []string{"ctl1:/etc/kolla/", "ctl1/etc/kolla/", "kolla/ctl1/etc/kolla/"} {
		dir := filepath.Join(t.TempDir(), "files")
		s.op.Run("restore", "files", s.point.ID, syntax+rel, "--to", dir, "--yes")
		sameFile(t, odd, filepath.Join(dir, "ctl1/etc/kolla", rel))
		if got := names(t, filepath.Join(dir, "ctl1/etc/kolla")); len(got) != 1 {
			t.Errorf("more than was asked for came back: %q", got)
		}
		if exists(t, filepath.Join(dir, restore.Incomplete)) {
			t.Error("it still says that it is incomplete")
		}
	}
	dir := filepath.Join(t.TempDir(), "two")
	s.op.Run("restore", "files", s.point.ID, "ctl1:/etc/kolla/"+rel+"/two", "ctl2:/etc/kolla/mariadb/galera.cnf", "mariadb/shard0/logical/scene", "--to", dir, "--yes")
	sameFile(t, odd+"/two", filepath.Join(dir, "ctl1/etc/kolla", rel, "two"))
	sameFile(t, filepath.Join(s.lab.HostDir("ctl2"), "etc/kolla/mariadb/galera.cnf"), filepath.Join(dir, "ctl2/etc/kolla/mariadb/galera.cnf"))
	if sql := read(t, filepath.Join(dir, "shard0/logical/scene/small.sql")); !strings.Contains(sql, "(1,'one'),") {
		t.Errorf("the table's dump is\n%s", sql)
	}
}

// oddDir is the directory on ctl1 that holds what is hard to keep.
func oddDir(t *testing.T, s scene) string {
	t.Helper()
	for _, name := range s.lab.Kolla.Odd {
		dir := filepath.Dir(name)
		if strings.HasPrefix(dir, s.lab.HostDir("ctl1")) && exists(t, dir+"/two") {
			return dir
		}
	}
	t.Fatalf("no odd files on ctl1: %q", s.lab.Kolla.Odd)
	return ""
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestAllFiles restores every file of every host.
func TestAllFiles(t *testing.T) {
	s := onStage(t)
	dir := filepath.Join(t.TempDir(), "all")
	s.op.Run("restore", "files", s.point.ID, "--to", dir, "--yes")
	for _, c := range s.point.Components {
		if c.Source == "kolla" && !exists(t, filepath.Join(dir, c.Name)) {
			t.Errorf("%s did not come back", c.Name)
		}
	}
	sameFile(t, filepath.Join(s.lab.HostDir("ctl3"), "etc/kolla/mariadb/galera.cnf"), filepath.Join(dir, "ctl3/etc/kolla/mariadb/galera.cnf"))
	sameFile(t, oddDir(t, s), filepath.Join(dir, "ctl1", strings.TrimPrefix(oddDir(t, s), s.lab.HostDir("ctl1"))))
}

func TestFilesRefusals(t *testing.T) {
	s := onStage(t)
	dir := filepath.Join(t.TempDir(), "files")
	for _, path := range []string{"ctl1:/etc/kolla/no-such-file", "ctl9:/etc/kolla", "mariadb/shard0/logical/nova/absent.sql", "ctl1:/../etc/passwd"} {
		s.op.Fails(4, []string{"holdfast show"}, "restore", "files", s.point.ID, path, "--to", dir, "--yes")
	}
	s.op.Fails(2, []string{"to"}, "restore", "files", s.point.ID, "--yes")
	s.op.Fails(4, nil, "restore", "files", "20200101-000000-none", "--to", dir, "--yes")
	if exists(t, dir) {
		t.Error("a refused restore made the directory")
	}
	full := t.TempDir()
	write(t, full+"/mine", "keep me")
	s.op.Fails(1, []string{"is not empty"}, "restore", "files", s.point.ID, "--to", full, "--yes")
	if read(t, full+"/mine") != "keep me" || len(names(t, full)) != 1 {
		t.Errorf("the directory holds %q", names(t, full))
	}
}
