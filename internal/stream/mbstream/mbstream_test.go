package mbstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream"
	"holdfast/internal/stream/mbstream"
	"holdfast/internal/stream/treetest"
)

func extract(data []byte) (mbstream.Summary, map[string]treetest.Entry, error) {
	tree := treetest.NewMemory()
	sum, err := mbstream.Extract(context.Background(), bytes.NewReader(data), tree, mbstream.Options{})
	if n := tree.Open(); n != 0 {
		err = errors.Join(err, fmt.Errorf("%d files were left open", n))
	}
	return sum, tree.Entries(), err
}

// whole extracts and also asks whether the stream ended as mariadb-backup ends it.
func whole(data []byte) error {
	sum, _, err := extract(data)
	if err != nil {
		return err
	}
	return sum.Complete()
}

func contents(entries map[string]treetest.Entry) map[string]string {
	out := map[string]string{}
	for name, e := range entries {
		if e.Meta.Mode.IsRegular() {
			out[name] = string(e.Data)
		}
	}
	return out
}

// TestExtractLikeMbstream feeds the same streams to Extract and to the real mbstream, which must agree on the files.
func TestExtractLikeMbstream(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 200_000)
	for name, c := range map[string]struct {
		stream *builder
		want   map[string]string
	}{
		"one file":                    {build().file("a", "x"), map[string]string{"a": "x"}},
		"empty file":                  {build().end("a"), map[string]string{"a": ""}},
		"empty payload":               {build().file("a", ""), map[string]string{"a": ""}},
		"directories":                 {build().file("a/b", "x").file("a/c", "y"), map[string]string{"a/b": "x", "a/c": "y"}},
		"interleaved":                 {build().payload("a", 0, "1").payload("b", 0, "2").payload("a", 1, "3").end("b").end("a"), map[string]string{"a": "13", "b": "2"}},
		"long payload":                {build().file("a", long), map[string]string{"a": long}},
		"rename finished":             {build().file("a", "x").rename("a", "b"), map[string]string{"b": "x"}},
		"rename onto a file":          {build().file("a", "x").file("b", "longer").rename("a", "b"), map[string]string{"b": "x"}},
		"rename before the file":      {build().rename("a", "b").file("a", "x"), map[string]string{"a": "x"}},
		"rename, then the name again": {build().file("a", "x").rename("a", "b").file("a", "y"), map[string]string{"a": "y", "b": "x"}},
		"remove finished":             {build().file("a", "x").remove("a").file("b", ""), map[string]string{"b": ""}},
		"remove before the file":      {build().remove("a").file("a", "x"), map[string]string{"a": "x"}},
		"remove, then the name again": {build().file("a", "x").remove("a").file("a", "y"), map[string]string{"a": "y"}},
		"rewrite shorter":             {build().file("a", "0123456789").rewrite("a", 0, "QQ").end("a"), map[string]string{"a": "QQ"}},
		"rewrite in two parts":        {build().file("a", "0123456789").rewrite("a", 0, "QQ").rewrite("a", 2, "R").end("a"), map[string]string{"a": "QQR"}},
		"rewrite to empty":            {build().file("a", "0123456789").head(2, 'E', "a"), map[string]string{"a": ""}},
		"rewrite of nothing":          {build().rewrite("a", 0, "QQ").end("a"), map[string]string{"a": "QQ"}},
		"rewrite of an open file":     {build().payload("a", 0, "0123").rewrite("a", 4, "QQ").end("a"), map[string]string{"a": "0123QQ"}},
		"seek forward":                {build().payload("a", 0, "01").seek("a", 4).payload("a", 4, "x").end("a"), map[string]string{"a": "01\x00\x00x"}},
		"seek first":                  {build().seek("a", 2).payload("a", 2, "x").end("a"), map[string]string{"a": "\x00\x00x"}},
		"seek and nothing":            {build().payload("a", 0, "01").seek("a", 4).end("a"), map[string]string{"a": "01"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, entries, err := extract(c.stream.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, contents(entries)); diff != "" {
				t.Errorf("Extract (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, contents(mbstreamTool(t, c.stream.Bytes()))); diff != "" {
				t.Errorf("mbstream itself (-want +got):\n%s", diff)
			}
		})
	}
}

func mbstreamTool(t *testing.T, data []byte) map[string]treetest.Entry {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("mbstream", "-x", "-C", dir)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("mbstream: %v: %s", err, out)
	}
	entries, err := treetest.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestExtractOpenFiles covers what mbstream only warns about and what no stream of its own holds.
func TestExtractOpenFiles(t *testing.T) {
	b := build().payload("a", 0, "1").rename("a", "d/b").payload("d/b", 1, "2").end("d/b")
	b.payload("gone", 0, "x").remove("gone").file("gone", "new")
	b.head(1, 'Z', "later").body(0, "of a type from the future")
	sum, entries, err := extract(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"d/b": "12", "gone": "new"}, contents(entries)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if sum.Renames != 1 || sum.Removes != 1 || sum.Files != 2 || sum.Payload != 6 || sum.Bytes != int64(b.Len()) {
		t.Errorf("summary: %+v", sum)
	}
}

func TestExtractErrors(t *testing.T) {
	crc := build().file("a", "0123").clone()
	crc[len("XBSTCK01")+2+4+1+16] ^= 1
	for name, c := range map[string]struct {
		stream []byte
		text   string
	}{
		"empty stream":          {nil, "byte 0: the stream is empty"},
		"wrong magic":           {build().raw("XBSTCK02abcdefgh").clone(), "magic"},
		"trailing garbage":      {build().info().raw("some more garbage").clone(), "byte 87: this is no chunk"},
		"short garbage":         {build().info().raw("x").clone(), "unexpected EOF"},
		"flags":                 {build().head(4, 'E', "a").clone(), "flags 0x4"},
		"type":                  {build().head(0, 'Z', "a").clone(), `type 'Z'`},
		"checksum":              {crc, `file "a": the payload's checksum`},
		"gap":                   {build().payload("a", 0, "01").payload("a", 3, "x").clone(), "offset 3, but the file is at 2"},
		"first not at 0":        {build().payload("a", 1, "x").clone(), "offset 1"},
		"rewrite not at 0":      {build().file("a", "0123").rewrite("a", 2, "x").end("a").clone(), "offset 2"},
		"overlap":               {build().payload("a", 0, "01").payload("a", 0, "01").clone(), "offset 0"},
		"seek back":             {build().payload("a", 0, "01").seek("a", 1).clone(), "seek to 1"},
		"seek far":              {build().seek("a", -1).clone(), "seek to"},
		"never ends":            {build().payload("a", 0, "x").info().clone(), `file "a": the stream ends while 1 files`},
		"ends twice":            {build().file("a", "x").end("a").clone(), "already ended"},
		"same file twice":       {build().file("a", "x").payload("a", 0, "y").end("a").clone(), "already ended"},
		"rename onto open":      {build().file("a", "x").payload("b", 0, "y").rename("a", "b").clone(), "has not ended"},
		"empty path":            {build().end("").clone(), "path of 0 bytes"},
		"long path":             {build().end(strings.Repeat("a", 512)).clone(), "path of 512 bytes"},
		"NUL":                   {build().end("a\x00b").clone(), "illegal path"},
		"absolute":              {build().end("/etc/passwd").clone(), "illegal path"},
		"parent":                {build().end("../x").clone(), "illegal path"},
		"inner parent":          {build().end("a/../../x").clone(), "illegal path"},
		"dot":                   {build().end(".").clone(), "illegal path"},
		"rename to the outside": {build().file("a", "x").rename("a", "../x").clone(), "illegal path"},
		"rename to nothing":     {build().file("a", "x").rename("a", "").clone(), "path of 0 bytes"},
		"huge payload":          {append(build().head(0, 'P', "a").clone(), bytes.Repeat([]byte{0xff}, 20)...), "not legal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := extract(c.stream)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			var located *mbstream.Error
			if !errors.As(err, &located) {
				t.Errorf("%v says no place", err)
			}
		})
	}
}

// small is a stream with every kind of chunk.
func small() []byte {
	b := build().payload("db/t.ibd", 0, "page one").payload("ib_logfile0", 0, "log").payload("db/t.ibd", 8, "page two").end("db/t.ibd")
	b.file("db/u.ibd", "u").rename("db/u.ibd", "db/v.ibd").file("db/w.ibd", "w").remove("db/w.ibd")
	b.rewrite("db/t.ibd", 0, "new").end("db/t.ibd").seek("ib_logfile0", 8).payload("ib_logfile0", 8, "tail").end("ib_logfile0")
	return b.info().clone()
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := small()
	if err := whole(data); err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := whole(data[:n]); err == nil {
			t.Errorf("cut after %d of %d bytes and taken as whole", n, len(data))
		}
	}
}

func TestBrokenReader(t *testing.T) {
	broken := errors.New("the wire broke")
	for _, n := range []int{0, 5, 20, 60} {
		r := io.MultiReader(bytes.NewReader(small()[:n]), iotest.ErrReader(broken))
		if _, err := mbstream.Extract(context.Background(), r, treetest.Discard{}, mbstream.Options{}); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestEveryBitFlip turns each bit of a small stream. A flip passes only where the format has no redundancy: in the
// flags, type and names of chunks and in the target of a seek, where it makes another legal stream. A payload, its
// length, its offset and its checksum never change unseen.
func TestEveryBitFlip(t *testing.T) {
	data := small()
	for i := range len(data) * 8 {
		flipped := bytes.Clone(data)
		flipped[i/8] ^= 1 << (i % 8)
		if whole(flipped) != nil {
			continue
		}
		at := i / 8
		start := bytes.LastIndex(data[:at+1], []byte("XBSTCK01"))
		named := at-start >= 8 && at-start < 14+int(data[start+10])
		if kind := data[start+9]; !named && kind != 'S' && kind != 'R' {
			t.Errorf("a flip in byte %d (%d of its chunk %q) went unseen", at, at-start, kind)
		}
	}
}

func TestComplete(t *testing.T) {
	for name, want := range map[string]bool{
		"xtrabackup_info": true, "mariadb_backup_info": true, "xtrabackup_checkpoints": false, "db/xtrabackup_info": false, "info": false,
	} {
		sum, _, err := extract(build().file("a", "x").file(name, "y").Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := sum.Complete() == nil; got != want {
			t.Errorf("a stream that ends with %q is complete: %v", name, got)
		}
	}
}

func TestKept(t *testing.T) {
	b := build().file("xtrabackup_a", "one").rename("xtrabackup_a", "xtrabackup_b").rewrite("xtrabackup_b", 0, "two").end("xtrabackup_b")
	b.file("db/xtrabackup_c", "no").file("xtrabackup_d", strings.Repeat("x", mbstream.KeepLimit+1)).file("donor_galera_info", "")
	b.file("backup-my.cnf", "[mysqld]").file("xtrabackup_gone", "x").remove("xtrabackup_gone").file("mariadb_backup_info", "i")
	sum, _, err := extract(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, data := range sum.Kept {
		got[name] = string(data)
	}
	want := map[string]string{"donor_galera_info": "", "backup-my.cnf": "[mysqld]", "mariadb_backup_info": "i"}
	// A kept file that is renamed keeps its content only under the name that chose it; a rewrite decides again.
	want["xtrabackup_b"] = "two"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if data, ok := sum.Metadata("info"); !ok || string(data) != "i" {
		t.Errorf("info: %q %v", data, ok)
	}
}

func TestMetaAndHints(t *testing.T) {
	seen := map[string]stream.Hint{}
	tree := hints{treetest.NewMemory(), seen}
	b := build()
	for _, name := range []string{"db/t.ibd", "db/t.frm", "ibdata1", "undo001", "mysql/x.MAD", "mysql/x.MAI", "ib_logfile0", "aria_log.00000001", "db/t.CSV"} {
		b.end(name)
	}
	if _, err := mbstream.Extract(context.Background(), b, tree, mbstream.Options{UID: 7, GID: 8}); err != nil {
		t.Fatal(err)
	}
	want := map[string]stream.Hint{"db/t.ibd": stream.Pages, "db/t.frm": stream.Plain, "ibdata1": stream.Pages, "undo001": stream.Pages,
		"mysql/x.MAD": stream.Pages, "mysql/x.MAI": stream.Pages, "ib_logfile0": stream.Plain, "aria_log.00000001": stream.Plain, "db/t.CSV": stream.Plain}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
	for name, e := range tree.Entries() {
		mode := fs.FileMode(0o660)
		if filepath.Base(name) == name && e.Meta.Mode.IsDir() {
			mode = fs.ModeDir | 0o750
		}
		if e.Meta.Mode != mode || e.Meta.UID != 7 || e.Meta.GID != 8 {
			t.Errorf("%s: %+v", name, e.Meta)
		}
	}
}

type hints struct {
	*treetest.Memory
	seen map[string]stream.Hint
}

func (h hints) Create(path string, m stream.Meta, hint stream.Hint) (stream.File, error) {
	h.seen[path] = hint
	return h.Memory.Create(path, m, hint)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := mbstream.Extract(ctx, bytes.NewReader(small()), treetest.Discard{}, mbstream.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(small())
	f.Add(build().file("a", "x").clone())
	f.Add(build().rename("a", "b").remove("c").seek("d", 9).end("d").clone())
	f.Add(build().head(1, 'Z', "a").body(0, "x").clone())
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := treetest.NewMemory()
		limited := treetest.Limited{Tree: tree, Max: 1 << 20}
		sum, err := mbstream.Extract(context.Background(), bytes.NewReader(data), limited, mbstream.Options{})
		if tree.Open() != 0 {
			t.Error("files were left open")
		}
		if err != nil {
			return
		}
		if sum.Bytes != int64(len(data)) {
			t.Errorf("took %d of %d bytes", sum.Bytes, len(data))
		}
		for name := range tree.Entries() {
			if !fs.ValidPath(name) {
				t.Errorf("made %q", name)
			}
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	s := build()
	block := strings.Repeat("0123456789abcdef", 10<<20/16)
	for i := range 8 {
		for j := range 4 {
			s.payload(fmt.Sprintf("db/t%d.ibd", i), j*len(block), block)
		}
		s.end(fmt.Sprintf("db/t%d.ibd", i))
	}
	data := s.info().Bytes()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mbstream.Extract(context.Background(), bytes.NewReader(data), treetest.Discard{}, mbstream.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
