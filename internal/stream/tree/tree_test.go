package tree_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/tree"
	"holdfast/internal/stream/treetest"
)

func extract(data []byte) (tree.Summary, map[string]treetest.Entry, error) {
	memory := treetest.NewMemory()
	sum, err := tree.Extract(context.Background(), bytes.NewReader(data), memory, tree.Options{})
	if n := memory.Open(); n != 0 {
		err = errors.Join(err, fmt.Errorf("%d files were left open", n))
	}
	return sum, memory.Entries(), err
}

// item is one entry of an archive; a file unless the header says otherwise.
type item struct {
	h    tar.Header
	data string
}

func file(name, data string) item { return item{tar.Header{Name: name, Mode: 0o640}, data} }
func dir(name string) item {
	return item{tar.Header{Name: name, Mode: 0o750, Typeflag: tar.TypeDir}, ""}
}
func hard(name, to string) item {
	return item{tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}, ""}
}
func soft(name, to string) item {
	return item{tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink, Mode: 0o777}, ""}
}

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		i.h.Size = int64(len(i.data))
		i.h.ModTime = time.Unix(1_700_000_000, 0)
		if i.h.PAXRecords != nil {
			i.h.Format = tar.FormatPAX
		}
		if err := w.WriteHeader(&i.h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func example(t testing.TB) []byte {
	long := strings.Repeat("long/", 60) + "name"
	return archive(t, dir("./"), dir("./etc/"), file("./etc/a", "hello"), file("./etc/zeros", strings.Repeat("\x00", 1024)), soft("./etc/s", "a"),
		hard("./etc/h", "./etc/a"), file("new\nline", "x"), file("odd\xff/f\xfe", "y"), file(long, strings.Repeat("z", 1000)),
		item{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, ""}, file(".holdfast-meta.json", "{}"))
}

func TestExtract(t *testing.T) {
	sum, entries, err := extract(example(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"etc/a": "hello", "etc/zeros": strings.Repeat("\x00", 1024), "new\nline": "x", "odd\uFFFDFF/f\uFFFDFE": "y",
		strings.Repeat("long/", 60) + "name": strings.Repeat("z", 1000), "\uFFFD2Eholdfast-meta.json": "{}"}
	got := map[string]string{}
	for name, e := range entries {
		if e.Meta.Mode.IsRegular() {
			got[name] = string(e.Data)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if entries["etc/s"].Target != "a" || entries["etc/h"].Target != "../etc/a" {
		t.Errorf("symlinks: %v, %v", entries["etc/s"], entries["etc/h"])
	}
	if sum.Root == nil || sum.Files != 6 || sum.Symlinks != 1 || sum.Dirs != 1 || sum.Bytes != int64(len(example(t))) {
		t.Errorf("summary: %+v", sum)
	}
	extra := []string{}
	for _, e := range sum.Extra.Entries {
		extra = append(extra, fmt.Sprintf("%s %q %s %v", e.Path, e.Name, e.LinkTo, e.Device != nil))
	}
	wantExtra := []string{`etc/h "" etc/a false`, `fifo ""  true`, "odd\uFFFDFF \"odd\\xff\"  false", "odd\uFFFDFF/f\uFFFDFE \"f\\xfe\"  false", "\uFFFD2Eholdfast-meta.json \".holdfast-meta.json\"  false"}
	if diff := cmp.Diff(wantExtra, extra); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := example(t)
	for n := range len(data) {
		_, _, err := extract(data[:n])
		if err == nil {
			t.Errorf("cut after %d of %d bytes and taken as whole", n, len(data))
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestErrors(t *testing.T) {
	whole := archive(t, file("a", "x"))
	broken := bytes.Clone(whole)
	broken[0] = 'b'
	for name, c := range map[string]struct {
		data []byte
		text string
	}{
		"empty":           {nil, "has no end"},
		"header":          {broken, "invalid tar header"},
		"garbage":         {append(bytes.Clone(whole), "garbage"...), "follows the end"},
		"another archive": {append(bytes.Clone(whole), whole...), "follows the end"},
		"half a block":    {append(bytes.Clone(whole), 0, 0), "inside a block"},
		"absolute":        {archive(t, file("/a", "x")), "not legal"},
		"parent":          {archive(t, file("a/../../b", "x")), "not legal"},
		"through symlink": {archive(t, soft("a", "/etc"), file("a/passwd", "x")), "no directory"},
		"through file":    {archive(t, file("a", "x"), file("a/b/c", "x")), "no directory"},
		"file, then dir":  {archive(t, file("a", "x"), dir("a/")), "comes twice"},
		"dangling link":   {archive(t, hard("a", "b")), "did not come before"},
		"link outside":    {archive(t, hard("a", "../b")), "not legal"},
		"link to itself":  {archive(t, file("a", "x"), hard("a", "a")), "did not come before"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := extract(c.data); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
	wire := errors.New("the wire broke")
	_, err := tree.Extract(context.Background(), io.MultiReader(bytes.NewReader(whole[:600]), iotest.ErrReader(wire)), treetest.Discard{}, tree.Options{})
	if !errors.Is(err, wire) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tree.Extract(ctx, bytes.NewReader(whole), treetest.Discard{}, tree.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNamesStayApart covers names that a careless encoding would make the same.
func TestNamesStayApart(t *testing.T) {
	names := []string{"a\xff", "a\uFFFDFF", "a\uFFFD", "a\xef\xbf", "a%FF", "a\xfe"}
	var items []item
	for _, name := range names {
		items = append(items, file(name, name))
	}
	sum, entries, err := extract(archive(t, items...))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("%d names became %d", len(names), len(entries))
	}
	for _, e := range sum.Extra.Entries {
		if string(entries[e.Path].Data) != string(e.Name) {
			t.Errorf("%q is kept as %q, which holds %q", e.Name, e.Path, entries[e.Path].Data)
		}
	}
}

func TestLaterEntriesReplace(t *testing.T) {
	linked := hard("b", "a")
	sum, entries, err := extract(archive(t, file("a", "one"), linked, file("b", "two")))
	if err != nil {
		t.Fatal(err)
	}
	if string(entries["b"].Data) != "two" || !sum.Extra.Empty() {
		t.Errorf("b is %v, extra %+v", entries["b"], sum.Extra)
	}
}

func TestACLText(t *testing.T) {
	with := func(acl string) item {
		i := file("a", "x")
		i.h.PAXRecords = map[string]string{"SCHILY.acl.access": acl}
		return i
	}
	sum, _, err := extract(archive(t, with("user::rw-\nuser:1000:r--\ngroup::r--\ngroup:7:r-x\nmask::r-x\nother::---\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x08\x00\x05\x00\x07\x00\x00\x00" + "\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	if got := string(sum.Extra.Entries[0].Xattrs["system.posix_acl_access"]); got != want {
		t.Errorf("ACL is %q, want %q", got, want)
	}
	sum, _, err = extract(archive(t, with("user::rw-\nuser:alice:r--\n")))
	if err != nil || len(sum.Extra.Entries) != 1 || len(sum.Extra.Entries[0].ACLs) != 1 {
		t.Errorf("%+v, %v", sum.Extra, err)
	}
}

func TestParseMeta(t *testing.T) {
	sum, _, err := extract(example(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := sum.Extra.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := tree.ParseMeta(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sum.Extra, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "{}", `{"version":2}`, `{"version":1,"entries":[{"path":"../x"}]}`, `{"version":1,"entries":[{"path":"x","link_to":"/etc/passwd"}]}`,
		`{"version":1,"entries":[{"path":"x","name":"Li4="}]}`} {
		if _, err := tree.ParseMeta([]byte(bad)); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(example(f))
	f.Add(archive(f, file("a", "x"), hard("b", "a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		memory := treetest.NewMemory()
		limited := treetest.Limited{Tree: memory, Max: 1 << 20}
		sum, err := tree.Extract(context.Background(), bytes.NewReader(data), limited, tree.Options{})
		if memory.Open() != 0 {
			t.Error("files were left open")
		}
		if err != nil {
			return
		}
		encoded, err := sum.Extra.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.ParseMeta(encoded); err != nil {
			t.Errorf("made a meta that is refused: %v", err)
		}
	})
}
