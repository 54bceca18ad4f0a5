package kolla

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/tree"
	"holdfast/internal/stream/treetest"
)

// seen is everything about a file that a restore must bring back.
type seen struct {
	Mode     fs.FileMode
	UID, GID uint32
	Size     int64
	ModTime  int64 // nanoseconds; 0 for directories and links
	Data     string
	Target   string
	Xattrs   map[string]string
	Twin     string // the first path with the same inode
}

// look describes every file below root.
func look(t *testing.T, root string) map[string]seen {
	t.Helper()
	all, twins := map[string]seen{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		name := strings.TrimPrefix(p, root)
		s := seen{Mode: info.Mode(), UID: st.Uid, GID: st.Gid}
		if info.Mode()&fs.ModeSymlink != 0 {
			s.Target, err = os.Readlink(p)
		} else {
			s.Xattrs = xattrs(t, p)
		}
		if info.Mode().IsRegular() {
			data, readErr := os.ReadFile(p)
			s.Size, s.ModTime, s.Data, err = info.Size(), info.ModTime().UnixNano(), string(data), readErr
			if twins[st.Ino] == "" {
				twins[st.Ino] = name
			}
			s.Twin = twins[st.Ino]
		}
		all[name] = s
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func xattrs(t *testing.T, p string) map[string]string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:max(n, 0)]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(value[:n])
	}
	return out
}

func TestAHostComesBackFileByFile(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts)
	s := fromLab(t, l)
	dir := filepath.Join(t.TempDir(), "ctl1")
	to, err := treetest.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := capturedInto(t, s, "ctl1", "ctl1", source.Sink{Tree: to})
	if out.State != point.Good {
		t.Fatalf("%s: %s", out.State, out.Reason)
	}
	data, err := os.ReadFile(filepath.Join(dir, tree.MetaName))
	if err != nil {
		t.Fatal(err)
	}
	extra, err := tree.ParseMeta(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := extra.Apply(dir); err != nil {
		t.Fatal(err)
	}
	origin := filepath.Join(l.HostDir("ctl1"), "etc/kolla")
	want, got := look(t, origin), look(t, filepath.Join(dir, "etc/kolla"))
	left := 0
	for _, p := range l.Kolla.Ignored {
		if name, ok := strings.CutPrefix(p, origin); ok {
			delete(want, name)
			left++
		}
	}
	if len(want) < 50 || left == 0 {
		t.Fatalf("the lab's tree has only %d files and %d to leave out", len(want), left)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d characters of differences, the first:\n%.3000s", len(diff), diff)
	}
	attributes, twins := 0, 0
	for name, s := range want {
		attributes += len(s.Xattrs)
		if s.Twin != "" && s.Twin != name {
			twins++
		}
	}
	if attributes < 2 || twins == 0 {
		t.Errorf("the lab's tree has %d attributes (of it an ACL) and %d hard links: it lacks %v", attributes, twins, l.Kolla.Lacking)
	}
	if out.Proof["archive_end"] != true || out.Proof["files"].(int64) < 50 {
		t.Errorf("proof %v", out.Proof)
	}
}
