package vault

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/stream"
)

// kopia runs the stock command against a vault, with the passphrase from its standard place.
type kopia struct {
	t      *testing.T
	binary string
	home   string
}

// stockKopia builds the command from the module that the vault links.
func stockKopia(t *testing.T) kopia {
	t.Helper()
	k := kopia{t: t, binary: filepath.Join(t.TempDir(), "kopia"), home: t.TempDir()}
	build := exec.Command("go", "build", "-tags", "nohtmlui", "-o", k.binary, "github.com/kopia/kopia")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kopia: %v\n%s", err, out)
	}
	return k
}

func (k kopia) run(args ...string) string {
	k.t.Helper()
	cmd := exec.Command(k.binary, args...)
	cmd.Env = []string{
		"HOME=" + k.home, "PATH=" + os.Getenv("PATH"), "KOPIA_PASSWORD=" + testPass.Reveal(), "KOPIA_CHECK_FOR_UPDATES=false",
		"KOPIA_CONFIG_PATH=" + filepath.Join(k.home, "c"), "KOPIA_CACHE_DIRECTORY=" + filepath.Join(k.home, "cache"),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("kopia %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestStockKopia lists, verifies and restores a sealed point with the stock command and compares every byte, mode,
// owner, time and symbolic link.
func TestStockKopia(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p1", "mariadb")
	tr := s.Tree("mariadb/shard0/physical")
	files := stockTree(t, tr)
	res := seal(t, s)
	sealPoint(t, v, "p1", good("mariadb", "mariadb/shard0/physical"))

	k := stockKopia(t)
	k.run("repository", "connect", "filesystem", "--path", v.Location().URL)
	list := k.run("snapshot", "list", "--all", "--tags", "point:p1", "--tags", "source:mariadb")
	if !strings.Contains(list, "holdfast@"+testCloud+":/mariadb") {
		t.Errorf("list:\n%s", list)
	}
	k.run("snapshot", "verify", "--verify-files-percent=100")
	if !strings.Contains(k.run("ls", "-l", "-r", res.ID), "db/table.ibd") {
		t.Error("ls does not name the table")
	}
	target := filepath.Join(t.TempDir(), "restored")
	k.run("snapshot", "restore", res.ID, target)
	compareDisk(t, filepath.Join(target, "mariadb/shard0/physical"), files)
	part := filepath.Join(t.TempDir(), "part")
	k.run("snapshot", "restore", res.ID+"/mariadb/shard0/physical/db", part)
	compareMeta(t, filepath.Join(part, "table.ibd"), 0o640)
}

// stockTree fills a tree with what is hard to restore.
func stockTree(t *testing.T, tr *Tree) map[string][]byte {
	t.Helper()
	for _, dir := range []string{"db", "db/empty"} {
		if err := tr.Mkdir(dir, meta(fs.ModeSetgid|0o750)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.SetMeta(meta(0o751)); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"db/table.ibd":                  append(append(pages(3<<20, 1), make([]byte, 2<<20)...), noise(40<<10, 2)...),
		"db/dump.sql":                   bytes.Repeat([]byte("insert into t values (1,'x');\n"), 100_000),
		"empty":                         nil,
		"a name, with \"quotes\" and é": []byte("x"),
	}
	for name, data := range files {
		h := stream.Plain
		if strings.HasSuffix(name, ".ibd") {
			h = stream.Pages
		}
		put(t, tr, name, h, data)
	}
	if err := tr.Symlink("link", "db/../empty", meta(0o777)); err != nil {
		t.Fatal(err)
	}
	return files
}

func compareDisk(t *testing.T, root string, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		path := filepath.Join(root, name)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
		compareMeta(t, path, 0o640)
	}
	compareMeta(t, filepath.Join(root, "db/empty"), fs.ModeDir|fs.ModeSetgid|0o750)
	compareMeta(t, root, fs.ModeDir|0o751)
	if target, err := os.Readlink(filepath.Join(root, "link")); err != nil || target != "db/../empty" {
		t.Errorf("link = %q, %v", target, err)
	}
	found := 0
	err := filepath.WalkDir(root, func(string, fs.DirEntry, error) error { found++; return nil })
	if want := len(files) + 4; err != nil || found != want {
		t.Errorf("%d entries restored, want %d, %v", found, want, err)
	}
}

func compareMeta(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	st := fi.Sys().(*syscall.Stat_t)
	if fi.Mode() != mode || st.Uid != 42434 || st.Gid != 42435 || !fi.ModTime().Equal(testTime) {
		t.Errorf("%s: mode %v, owner %d:%d, time %v", path, fi.Mode(), st.Uid, st.Gid, fi.ModTime())
	}
}
