package vault

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/stream"
)

// TestChangeCostsWhatChanged writes a table twice with one percent of its pages changed in one range between.
func TestChangeCostsWhatChanged(t *testing.T) {
	v := newVault(t)
	table := pages(32<<20, 3)
	written := make([]Written, 3)
	for i := range written {
		if i == 1 {
			copy(table[9<<20:], pages(len(table)/100, 77))
		}
		s := begin(t, v, string(rune('a'+i)), "mariadb")
		put(t, s.Tree("db"), "t.ibd", stream.Pages, table)
		var err error
		if written[i], err = s.Finish("db"); err != nil {
			t.Fatal(err)
		}
		res := seal(t, s)
		if res.NewBytes < written[i].NewBytes {
			t.Errorf("session wrote %d bytes, its tree %d", res.NewBytes, written[i].NewBytes)
		}
	}
	if written[0].NewContents < 128 || written[0].NewBytes < 5<<20 {
		t.Errorf("first = %+v", written[0])
	}
	if written[1].NewBytes > written[0].NewBytes/10 || written[1].NewBytes == 0 {
		t.Errorf("second = %+v after %+v", written[1], written[0])
	}
	if written[2].NewBytes != 0 || written[2].Bytes != int64(len(table)) {
		t.Errorf("unchanged = %+v", written[2])
	}
}

// TestPlainFilesShareAfterAnInsert moves the bytes of a dump.
func TestPlainFilesShareAfterAnInsert(t *testing.T) {
	v := newVault(t)
	dump := noise(16<<20, 5)
	var written [2]Written
	for i := range written {
		s := begin(t, v, string(rune('a'+i)), "mariadb")
		put(t, s.Tree("db"), "t.sql", stream.Plain, dump)
		var err error
		if written[i], err = s.Finish("db"); err != nil {
			t.Fatal(err)
		}
		seal(t, s)
		dump = append(append(bytes.Clone(dump[:3<<20]), "one more row"...), dump[3<<20:]...)
	}
	if written[1].NewBytes > written[0].NewBytes/8 {
		t.Errorf("second = %+v after %+v", written[1], written[0])
	}
}

func TestHolesCostNothing(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "mariadb")
	for name, h := range map[string]stream.Hint{"a.ibd": stream.Pages, "b.raw": stream.Plain} {
		f, err := s.Tree("db").Create(name, meta(0o600), h)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []func() error{
			func() error { _, err := f.Write([]byte("head")); return err },
			func() error { return f.Skip(10<<30 + 12345) },
			func() error { _, err := f.Write([]byte("tail")); return err },
			f.Close,
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	res := seal(t, s)
	if res.NewBytes > 1<<20 {
		t.Errorf("20 GiB of holes cost %d bytes", res.NewBytes)
	}
	sealPoint(t, v, "p", good("mariadb", "db"))
	fsys, err := v.FS(t.Context(), "p", "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db/a.ibd", "db/b.raw"} {
		f := openFile(t, fsys, name)
		for off, want := range map[int64]string{0: "head\x00", 10<<30 + 12345: "\x00\x00\x00\x00tail", 5 << 30: strings.Repeat("\x00", 70000)} {
			got := make([]byte, len(want))
			if _, err := f.ReadAt(got, off); err != nil || string(got) != want {
				t.Errorf("%s at %d = %.20q, %v", name, off, got, err)
			}
		}
	}
}

func openFile(t *testing.T, fsys *FS, name string) *File {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.(*File)
}

// TestReadEveryWay reads one file by each of the ways a File has.
func TestReadEveryWay(t *testing.T) {
	v := newVault(t)
	data := pages(11<<20+5000, 8)
	s := begin(t, v, "p", "rbd")
	put(t, s.Tree("pool"), "image.raw", stream.Pages, data)
	seal(t, s)
	sealPoint(t, v, "p", good("rbd", "pool"))
	fsys, err := v.FS(t.Context(), "p", "rbd")
	if err != nil {
		t.Fatal(err)
	}
	f := openFile(t, fsys, "pool/image.raw")
	if got, err := io.ReadAll(struct{ io.Reader }{f}); err != nil || !bytes.Equal(got, data) {
		t.Errorf("Read: %d bytes, %v", len(got), err)
	}
	for range 20 {
		off := rand.Int64N(int64(len(data)))
		if _, err := f.Seek(off, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, min(300<<10, int64(len(data))-off))
		if _, err := io.ReadFull(f, p); err != nil || !bytes.Equal(p, data[off:off+int64(len(p))]) {
			t.Fatalf("Read at %d: %v", off, err)
		}
		if n, err := f.ReadAt(p, off); err != nil || !bytes.Equal(p[:n], data[off:off+int64(n)]) {
			t.Fatalf("ReadAt %d: %v", off, err)
		}
	}
	if _, err := f.Seek(1<<20, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, f); err != nil || !bytes.Equal(out.Bytes(), data[1<<20:]) {
		t.Errorf("WriteTo: %d bytes, %v", out.Len(), err)
	}
}

func TestFSConforms(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "kolla")
	put(t, s.Tree("ctl1/etc"), "globals.yml", stream.Plain, []byte("kolla_base_distro: debian\n"))
	put(t, s.Tree("ctl1/etc"), "two.ibd", stream.Pages, pages(3*pagePiece/2, 1)) // two pieces
	seal(t, s)
	sealPoint(t, v, "p", good("kolla", "ctl1"))
	fsys, err := v.FS(t.Context(), "p", "kolla")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "ctl1/etc/globals.yml", "ctl1/etc/two.ibd", manifestName); err != nil {
		t.Error(err)
	}
}

// TestAdopt puts an earlier point's image into a new one without reading it.
func TestAdopt(t *testing.T) {
	v := newVault(t)
	data := noise(2<<20, 9)
	s := begin(t, v, "p1", "rbd")
	put(t, s.Tree("pool"), "image.raw", stream.Pages, data)
	seal(t, s)
	sealPoint(t, v, "p1", good("rbd", "pool"))
	old, err := v.FS(t.Context(), "p1", "rbd")
	if err != nil {
		t.Fatal(err)
	}
	e, err := old.Entry("pool/image.raw")
	if err != nil {
		t.Fatal(err)
	}
	s = begin(t, v, "p2", "rbd")
	if err := s.Adopt("pool/copy.raw", e); err != nil {
		t.Fatal(err)
	}
	if res := seal(t, s); res.NewBytes > 100<<10 || res.Bytes < int64(len(data)) {
		t.Errorf("seal = %+v", res)
	}
	sealPoint(t, v, "p2", good("rbd", "pool/copy.raw"))
	if err := v.Delete(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	fsys, err := v.FS(t.Context(), "p2", "rbd")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contentOf(t, fsys, "pool/copy.raw"), data) {
		t.Error("the adopted image differs")
	}
	if _, err := v.Verify(t.Context(), "p2", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

func TestDropAndOpenFiles(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "mariadb")
	put(t, s.Tree("bad"), "a", stream.Plain, []byte("x"))
	f, err := s.Tree("bad").Create("open", meta(0o600), stream.Pages)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish("bad"); err == nil {
		t.Error("finished with an open file")
	}
	s.Drop("bad")
	if err := f.Close(); err != nil {
		t.Errorf("close after drop = %v", err)
	}
	put(t, s.Tree("fine"), "b", stream.Plain, []byte("y"))
	if res := seal(t, s); res.Files != 2 {
		t.Errorf("seal = %+v", res)
	}
	s = begin(t, v, "q", "mariadb")
	if _, err := s.Tree("db").Create("open", meta(0o600), stream.Pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), nil, nil); err == nil {
		t.Error("sealed with an open file")
	}
}
