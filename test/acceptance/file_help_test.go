package acceptance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, file string) bool {
	t.Helper()
	_, err := os.Lstat(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// describe says all that a file is, but for its content and the time of its inode.
func describe(file string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(file, &st); err != nil {
		return "", err
	}
	text := fmt.Sprintf("mode %o owner %d:%d links %d", st.Mode, st.Uid, st.Gid, st.Nlink)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := os.Readlink(file)
		return text + " to " + to, err
	case unix.S_IFDIR:
		text = fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	case unix.S_IFREG:
		text += fmt.Sprintf(" size %d", st.Size)
	}
	attributes, err := xattrs(file)
	return fmt.Sprintf("%s time %d.%09d%s", text, st.Mtim.Sec, st.Mtim.Nsec, attributes), err
}

func xattrs(file string) (string, error) {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(file, names)
	if err != nil || n == 0 {
		if errors.Is(err, syscall.ENOTSUP) {
			err = nil
		}
		return "", err
	}
	text := ""
	start := 0
	for i := range n {
		if names[i] != 0 {
			continue
		}
		name := string(names[start:i])
		start = i + 1
		value := make([]byte, 4096)
		m, err := unix.Lgetxattr(file, name, value)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %s=%q", name, value[:m])
	}
	return text, nil
}

// sameFile fails the test unless two files, or two trees, are the same in everything.
func sameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := describe(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := describe(got)
	if err != nil || a != b {
		t.Errorf("%q is %s (%v), want %s", got, b, err, a)
		return
	}
	info, err := os.Lstat(want)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().IsRegular() && read(t, want) != read(t, got) {
		t.Errorf("%q differs in content", got)
	}
	if !info.IsDir() {
		return
	}
	entries, err := os.ReadDir(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		sameFile(t, filepath.Join(want, e.Name()), filepath.Join(got, e.Name()))
	}
}
