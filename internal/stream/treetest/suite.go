package treetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/stream"
)

// Make returns an empty tree and a function that finishes it and reads every entry back.
type Make func(t *testing.T) (tree stream.Tree, read func() map[string]Entry)

// Run checks that the trees that newTree makes behave as stream.Tree promises. Meta is compared for every entry but
// the parents nobody made explicitly, and for the times and permissions of symlinks.
func Run(t *testing.T, newTree Make) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			tree, read := newTree(t)
			h := &harness{T: t, Tree: tree, want: map[string]Entry{}}
			c.run(h)
			h.compare(read())
		})
	}
}

var suite = []struct {
	name string
	run  func(h *harness)
}{
	{"an empty tree", func(*harness) {}},
	{"a file", func(h *harness) { h.file("a", "one", "two") }},
	{"an empty file", func(h *harness) { h.file("a") }},
	{"a deep file", func(h *harness) { h.file("a/b/c/d", "x") }},
	{"awkward names", awkwardNames},
	{"directories", directories},
	{"a symlink", func(h *harness) { h.symlink("dir/link", "../target that is not there") }},
	{"interleaved files", interleaved},
	{"holes", holes},
	{"create again replaces", replace},
	{"create again and abort keeps", replaceAborted},
	{"create again and empty", replaceEmpty},
	{"abort", abort},
	{"rename a finished file", renameFinished},
	{"rename an open file", renameOpen},
	{"rename onto a file", renameOnto},
	{"rename a directory", renameDirectory},
	{"rename makes parents", renameParents},
	{"rename what is not there", renameMissing},
	{"remove a finished file", removeFinished},
	{"remove an open file", removeOpen},
	{"remove a directory", removeDirectory},
	{"a name after its removal", nameAgain},
	{"invalid paths", invalidPaths},
	{"many at once", concurrent},
}

type harness struct {
	*testing.T
	stream.Tree
	want map[string]Entry
	n    int
}

func (h *harness) meta(mode fs.FileMode) stream.Meta {
	h.n++
	m := stream.Meta{Mode: mode, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if m.UID == 0 {
		m.UID, m.GID = 1234, 5678
	}
	m.ModTime = time.Date(2026, 3, 4, 5, 6, h.n%60, 123456000, time.UTC)
	return m
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) create(name string) (stream.File, stream.Meta) {
	h.Helper()
	m := h.meta(0o640)
	f, err := h.Create(name, m, stream.Hint(h.n%2))
	h.must(err)
	return f, m
}

func (h *harness) write(f stream.File, text string) {
	h.Helper()
	_, err := io.WriteString(f, text)
	h.must(err)
}

func (h *harness) file(name string, parts ...string) {
	h.Helper()
	f, m := h.create(name)
	all := ""
	for _, p := range parts {
		h.write(f, p)
		all += p
	}
	h.must(f.Close())
	h.want[name] = Entry{Meta: m, Data: []byte(all)}
}

func (h *harness) mkdir(name string, mode fs.FileMode) {
	h.Helper()
	m := h.meta(mode)
	h.must(h.Mkdir(name, m))
	m.Mode |= fs.ModeDir
	h.want[name] = Entry{Meta: m}
}

func (h *harness) symlink(name, target string) {
	h.Helper()
	m := h.meta(0o777)
	h.must(h.Symlink(name, target, m))
	m.Mode |= fs.ModeSymlink
	h.want[name] = Entry{Meta: m, Target: target}
}

func (h *harness) compare(got map[string]Entry) {
	h.Helper()
	implied := map[string]bool{}
	for name := range h.want {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := h.want[dir]; !ok {
				implied[dir] = true
			}
		}
	}
	for dir := range implied {
		h.want[dir] = Entry{Meta: stream.Meta{Mode: fs.ModeDir}}
	}
	for _, line := range Diff(h.want, got) {
		h.Error(line)
	}
	for name, w := range h.want {
		if !implied[name] {
			compareMeta(h.T, name, w.Meta, got[name].Meta)
		}
	}
}

func compareMeta(t *testing.T, name string, want, got stream.Meta) {
	t.Helper()
	if want.UID != got.UID || want.GID != got.GID {
		t.Errorf("%q belongs to %d:%d, want %d:%d", name, got.UID, got.GID, want.UID, want.GID)
	}
	if want.Mode.Type() == fs.ModeSymlink {
		return
	}
	if want.Mode != got.Mode {
		t.Errorf("%q has mode %v, want %v", name, got.Mode, want.Mode)
	}
	if want.Mode.IsRegular() && !want.ModTime.Equal(got.ModTime) {
		t.Errorf("%q was changed %v, want %v", name, got.ModTime, want.ModTime)
	}
}

func awkwardNames(h *harness) {
	for _, name := range []string{" ", "a b", "line\nbreak", "ünïcode/文件", "%2F", "-rf", "..a", "a'\"`$(x)", "UPPER", "upper"} {
		h.file(name, name)
	}
}

func directories(h *harness) {
	h.mkdir("empty", 0o700)
	h.mkdir("a", 0o750)
	h.mkdir("a/b", 0o755|fs.ModeSetgid)
	h.file("a/b/c", "x")
	h.file("late/file", "x")
	h.mkdir("late", 0o711) // gives the parent that was made as needed its meta
}

func interleaved(h *harness) {
	a, ma := h.create("a")
	b, mb := h.create("b")
	for range 3 {
		h.write(a, "A")
		h.write(b, "BB")
	}
	h.must(b.Close())
	h.write(a, "end")
	h.must(a.Close())
	h.want["a"] = Entry{Meta: ma, Data: []byte("AAAend")}
	h.want["b"] = Entry{Meta: mb, Data: []byte("BBBBBB")}
}

func holes(h *harness) {
	f, m := h.create("holes")
	h.must(f.Skip(5))
	h.write(f, "mid")
	h.must(f.Skip(300 << 10))
	h.write(f, "more")
	h.must(f.Skip(0))
	h.must(f.Skip(7))
	h.must(f.Close())
	data := slices.Concat(make([]byte, 5), []byte("mid"), make([]byte, 300<<10), []byte("more"), make([]byte, 7))
	h.want["holes"] = Entry{Meta: m, Data: data}
}

func replace(h *harness) {
	h.file("a", "first and longer")
	h.file("a", "second")
}

func replaceAborted(h *harness) {
	h.file("a", "first")
	f, _ := h.create("a")
	h.write(f, "second")
	f.Abort()
	h.must(f.Close())
}

func replaceEmpty(h *harness) {
	h.file("a", "first")
	h.file("a")
}

func abort(h *harness) {
	f, _ := h.create("a")
	h.write(f, "x")
	f.Abort()
	f.Abort()
	h.must(f.Close())
	h.file("b", "y")
}

func (h *harness) moved(from, to string) {
	h.want[to] = h.want[from]
	delete(h.want, from)
}

func renameFinished(h *harness) {
	h.file("a", "x")
	h.must(h.Rename("a", "b"))
	h.moved("a", "b")
}

func renameOpen(h *harness) {
	f, m := h.create("a")
	h.write(f, "be")
	h.must(h.Rename("a", "b"))
	h.file("a", "another")
	h.write(f, "fore")
	h.must(f.Close())
	h.want["b"] = Entry{Meta: m, Data: []byte("before")}
}

func renameOnto(h *harness) {
	h.file("a", "x")
	h.file("b", "y")
	h.must(h.Rename("a", "b"))
	h.moved("a", "b")
}

func renameDirectory(h *harness) {
	h.mkdir("a", 0o700)
	h.file("a/1", "x")
	h.file("a/sub/2", "y")
	h.file("ab", "z")
	h.must(h.Rename("a", "b"))
	h.moved("a", "b")
	h.moved("a/1", "b/1")
	h.moved("a/sub/2", "b/sub/2")
}

func renameParents(h *harness) {
	h.file("a", "x")
	h.must(h.Rename("a", "new/dir/b"))
	h.moved("a", "new/dir/b")
}

func renameMissing(h *harness) {
	if err := h.Rename("a", "b"); !errors.Is(err, fs.ErrNotExist) {
		h.Errorf("rename of nothing: %v", err)
	}
	if err := h.Remove("a"); !errors.Is(err, fs.ErrNotExist) {
		h.Errorf("remove of nothing: %v", err)
	}
}

func removeFinished(h *harness) {
	h.file("a", "x")
	h.file("b", "y")
	h.must(h.Remove("a"))
	delete(h.want, "a")
}

func removeOpen(h *harness) {
	f, _ := h.create("a")
	h.write(f, "x")
	h.must(h.Remove("a"))
	h.must(f.Close())
	h.file("b", "y")
}

func removeDirectory(h *harness) {
	h.mkdir("a", 0o700)
	h.file("a/f", "x")
	if err := h.Remove("a"); err == nil {
		h.Error("removed a directory that was not empty")
	}
	h.must(h.Remove("a/f"))
	h.must(h.Remove("a"))
	clear(h.want)
}

func nameAgain(h *harness) {
	h.file("a", "x")
	h.must(h.Remove("a"))
	h.file("a", "again")
	h.file("t", "1")
	h.must(h.Rename("t", "u"))
	h.moved("t", "u")
	h.file("t", "2")
}

func invalidPaths(h *harness) {
	for _, name := range []string{"", ".", "..", "/a", "a/../b", "../a", "a//b", "a/"} {
		if f, err := h.Create(name, h.meta(0o600), stream.Plain); err == nil {
			h.Errorf("created %q", name)
			f.Abort()
		}
		if err := h.Mkdir(name, h.meta(0o700)); err == nil {
			h.Errorf("made directory %q", name)
		}
	}
}

func concurrent(h *harness) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 16 {
		name := fmt.Sprintf("d%d/f%d", i%3, i)
		data := make([]byte, 10_000+i)
		data[i] = byte(i)
		m := h.meta(0o600)
		wg.Go(func() {
			if err := writeParts(h.Tree, name, m, data); err != nil {
				h.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			h.want[name+".done"] = Entry{Meta: m, Data: data}
		})
	}
	wg.Wait()
}

// writeParts writes data in small parts under name and renames it, half of the time while it is still open.
func writeParts(tree stream.Tree, name string, m stream.Meta, data []byte) error {
	f, err := tree.Create(name, m, stream.Plain)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(data, 999) {
		if _, err := f.Write(part); err != nil {
			return err
		}
	}
	if len(data)%2 == 0 {
		return errors.Join(tree.Rename(name, name+".done"), f.Close())
	}
	return errors.Join(f.Close(), tree.Rename(name, name+".done"))
}
