package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/event"
	"holdfast/internal/restore"
	"holdfast/internal/stream/treetest/mariadbtest"
	"holdfast/test/journey"
)

// localSums are the checksums of a private server, for the tables that want names.
func localSums(t *testing.T, server *mariadbtest.Server, want map[string]string) map[string]string {
	t.Helper()
	var sql strings.Builder
	for name := range want {
		db, table, _ := strings.Cut(name, ".")
		sql.WriteString("CHECKSUM TABLE `" + db + "`.`" + strings.ReplaceAll(table, "`", "``") + "`;\n")
	}
	sums := map[string]string{}
	for line := range strings.Lines(server.Exec(t, sql.String())) {
		name, sum, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		sums[name] = sum
	}
	return sums
}

// TestDatadir starts a private server on a datadir that was restored, and refuses every place that is no place for one.
func TestDatadir(t *testing.T) {
	s := onStage(t)
	dir := filepath.Join(t.TempDir(), "datadir")
	s.op.Run("restore", "mariadb", s.point.ID, "--to", dir, "--yes")
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	uid, gid := mariadbtest.Owner(t) // the lab's servers run as the same account
	if st.Uid != uid || st.Gid != gid || st.Mode&0o777 != 0o700 {
		t.Errorf("owner is %d:%d, mode %o", st.Uid, st.Gid, st.Mode&0o777)
	}
	if exists(t, filepath.Join(dir, restore.Incomplete)) {
		t.Error("it still says that it is incomplete")
	}
	s.op.Fails(1, []string{"is not empty"}, "restore", "mariadb", s.point.ID, "--to", dir, "--yes")
	s.op.Fails(2, []string{"--accept", "nothing"}, "restore", "mariadb", s.point.ID, "--to", dir+"2", "--yes", "--accept", "nothing")
	s.op.Fails(4, []string{"no shard3/physical"}, "restore", "mariadb", s.point.ID, "--to", dir+"2", "--yes", "--shard", "3")
	if exists(t, dir+"2") {
		t.Error("a refused restore made the directory")
	}
	server := mariadbtest.StartOn(t, dir, "--skip-grant-tables")
	journey.SameSums(t, s.sums, localSums(t, server, s.sums))
}

// TestDatadirWithoutRoom has a file system that is too small.
func TestDatadirWithoutRoom(t *testing.T) {
	s := onStage(t)
	small := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(small, "datadir")
	args := []string{"restore", "mariadb", s.point.ID, "--to", dir, "--yes"}
	s.op.Fails(1, []string{"are needed", "--accept space"}, args...)
	if exists(t, dir) {
		t.Error("a refused restore made the directory")
	}
	s.op.Fails(1, []string{"no space left"}, append(args, "--accept", "space")...)
	if !exists(t, filepath.Join(dir, restore.Incomplete)) {
		t.Error("nothing says that the directory is incomplete")
	}
	s.op.Fails(1, []string{"is not empty"}, append(args, "--accept", "space")...)
}

// TestDatadirCutOff kills a restore while it writes.
func TestDatadirCutOff(t *testing.T) {
	s := onStage(t)
	dir := filepath.Join(t.TempDir(), "datadir")
	run := s.op.Start("restore", "mariadb", s.point.ID, "--to", dir, "--yes")
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && strings.HasPrefix(e.Component, "write ") }); !ok {
		t.Fatalf("it did not write: %+v", run.Wait())
	}
	if _, ok := run.Kill(); !ok {
		t.Fatal("it ended before it was killed")
	}
	if !exists(t, filepath.Join(dir, restore.Incomplete)) {
		t.Error("nothing says that the directory is incomplete")
	}
	s.op.Fails(1, []string{"is not empty"}, "restore", "mariadb", s.point.ID, "--to", dir, "--yes")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.op.Run("restore", "mariadb", s.point.ID, "--to", dir, "--yes")
}

// TestDatadirWithoutTool hides mariadb-backup and every engine: the refusal names the version.
func TestDatadirWithoutTool(t *testing.T) {
	s := onStage(t)
	hide(t, "mariadb-backup", "mariabackup", "docker", "podman")
	c, _ := s.point.Component("mariadb", "shard0/physical")
	version, _, _ := strings.Cut(c.Identity["server_version"].(string), "-")
	s.op.Fails(1, []string{"no mariadb-backup of server version " + version, "install mariadb-backup"},
		"restore", "mariadb", s.point.ID, "--to", filepath.Join(t.TempDir(), "d"), "--yes")
}

// hide takes commands out of PATH until the test ends.
func hide(t *testing.T, commands ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(from) // a directory of PATH may be absent
		for _, e := range entries {
			_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // the first one counts
		}
	}
	for _, c := range commands {
		_ = os.Remove(filepath.Join(dir, c)) // it may be absent
		if path, err := exec.LookPath(filepath.Join(dir, c)); err == nil {
			t.Fatalf("%s is still there", path)
		}
	}
	t.Setenv("PATH", dir)
}
