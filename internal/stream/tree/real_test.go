package tree_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"holdfast/internal/stream/tree"
	"holdfast/internal/stream/treetest"
)

var tarOptions = []string{"--create", "--file=-", "--format=posix", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--selinux", "--sparse"}

// TestRealTar sends a directory with everything odd through GNU tar, a tree and Apply, and expects the same again.
// It must run as root, as tar does on the far side.
func TestRealTar(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("owners, devices and trusted attributes need root")
	}
	from := filepath.Join(t.TempDir(), "from")
	makeOdd(t, from)
	var out, errs bytes.Buffer
	cmd := exec.Command("tar", append(slices.Clone(tarOptions), "--directory="+from, ".")...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("tar: %v: %s", err, errs.String())
	}
	to := filepath.Join(t.TempDir(), "to")
	dst, err := treetest.NewDir(to)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := tree.Extract(context.Background(), &out, dst, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := sum.Extra.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	extra, err := tree.ParseMeta(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if err := extra.Apply(to); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, from), describe(t, to)); diff != "" {
		t.Errorf("(-from +to):\n%s", diff)
	}
}

func makeOdd(t *testing.T, root string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(root, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, data string, mode fs.FileMode, uid, gid int) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(at(name)), 0o755))
		must(os.WriteFile(at(name), []byte(data), 0o600))
		must(os.Chown(at(name), uid, gid))
		must(os.Chmod(at(name), mode))
	}
	write("etc/plain", "hello", 0o644, 1000, 42436)
	write("etc/setuid", "#!", 0o755|fs.ModeSetuid|fs.ModeSetgid, 3_000_000_000, 7)
	write("etc/secret", "x", 0, 42, 42)
	write("new\nline", "a", 0o600, 0, 0)
	write("odd\xff dir/odd\xfe file", "b", 0o600, 0, 0)
	write("odd\xff dir/plain", "c", 0o600, 0, 0)
	write("etc/"+strings.Repeat("n", 200)+"/"+strings.Repeat("m", 200), "d", 0o600, 0, 0)
	write("sparse", "", 0o600, 0, 0)
	must(os.Truncate(at("sparse"), 5<<20))
	must(os.WriteFile(at("empty"), nil, 0o600))
	must(os.Mkdir(at("empty dir"), 0o1777))
	must(os.Chmod(at("empty dir"), 0o777|fs.ModeSticky))
	must(os.Link(at("etc/plain"), at("hard1")))
	must(os.Link(at("odd\xff dir/odd\xfe file"), at("odd\xff dir/hard\xfd")))
	must(os.Symlink("../nowhere/\xff", at("etc/link")))
	must(os.Lchown(at("etc/link"), 5, 6))
	must(unix.Mkfifo(at("fifo"), 0o640))
	must(os.Chown(at("fifo"), 9, 9))
	must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Setxattr(at("etc/plain"), "user.note", []byte("two\nlines\x00=bin"), 0))
	must(unix.Lsetxattr(at("etc/link"), "trusted.note", []byte("on a symlink"), 0))
	must(unix.Setxattr(at("odd\xff dir"), "user.note", []byte("on a directory"), 0))
	must(unix.Setxattr(at("etc/secret"), "system.posix_acl_access", acl(), 0))
	must(unix.Setxattr(at("etc"), "system.posix_acl_default", acl(), 0))
	setTimes(t, root)
}

// acl lets user 1000 read, in the kernel's form.
func acl() []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 6, ^uint32(0)}, {2, 4, 1000}, {4, 4, ^uint32(0)}, {0x10, 4, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func setTimes(t *testing.T, root string) {
	t.Helper()
	when := time.Date(2020, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, when, when)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// describe tells everything about every path below root. Times are of files only: those of directories belong to
// whoever restores the tree.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	entries, first := map[string]string{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name := p[len(root)+1:]
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		text := fmt.Sprintf("mode %o owner %d:%d size %d rdev %d", st.Mode, st.Uid, st.Gid, st.Size*int64(btoi(d.Type().IsRegular())), st.Rdev)
		if d.Type().IsRegular() {
			if first[st.Ino] == "" {
				first[st.Ino] = name
			}
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" same as %q time %d.%09d content %x", first[st.Ino], st.Mtim.Sec, st.Mtim.Nsec, data[:min(len(data), 100)])
		}
		if target, err := os.Readlink(p); err == nil {
			text += fmt.Sprintf(" to %q", target)
		}
		entries[fmt.Sprintf("%q", name)] = text + xattrs(t, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func xattrs(t *testing.T, p string) string {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(p, list)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	text := ""
	for _, name := range names {
		value := make([]byte, 4096)
		if n, err := unix.Lgetxattr(p, name, value); err == nil {
			text += fmt.Sprintf(" %s=%q", name, value[:n])
		}
	}
	return text
}

// TestApplyStaysInside gives Apply a tree in which a symlink leads out.
func TestApplyStaysInside(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "victim"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(inside, "way")); err != nil {
		t.Fatal(err)
	}
	m := tree.Meta{Version: 1, Entries: []tree.Entry{
		{Path: "way/victim", Xattrs: map[string][]byte{"user.x": []byte("x")}, Name: []byte("renamed")},
		{Path: "way/new", Device: &tree.Device{Mode: unix.S_IFIFO | 0o600}},
		{Path: "here", LinkTo: "way/victim"},
	}}
	if err := m.Apply(inside); err == nil {
		t.Error("no error")
	}
	got := describe(t, outside)
	if len(got) != 1 || strings.Contains(got[`"victim"`], "user.x") {
		t.Errorf("outside: %v", got)
	}
	if _, err := os.Lstat(filepath.Join(inside, "here")); err == nil {
		t.Error("linked to the outside")
	}
}
