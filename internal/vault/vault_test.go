package vault

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
)

const testCloud = "cloud1"

var testPass = secret.New("correct horse battery staple")

// newVault makes an empty vault and opens it.
func newVault(t testing.TB) *Vault {
	t.Helper()
	loc := Location{Tier: "local", URL: filepath.Join(t.TempDir(), "vault")}
	if err := Create(t.Context(), loc, testPass, CreateOptions{Cloud: testCloud}); err != nil {
		t.Fatal(err)
	}
	return openVault(t, loc)
}

func openVault(t testing.TB, loc Location) *Vault {
	t.Helper()
	v, err := Open(t.Context(), loc, testPass, OpenOptions{Cloud: testCloud, State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

func begin(t testing.TB, v *Vault, pointID, source string) *Session {
	t.Helper()
	s, err := v.Begin(t.Context(), pointID, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Abandon(context.Background()) })
	return s
}

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func meta(mode fs.FileMode) stream.Meta {
	return stream.Meta{Mode: mode, UID: 42434, GID: 42435, ModTime: testTime}
}

// noise returns n bytes that do not compress.
func noise(n int, seed byte) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// pages returns n bytes in pages of 16 KiB, of which the larger part repeats within the page.
func pages(n int, seed byte) []byte {
	data := noise(n, seed)
	for off := 0; off+16<<10 <= n; off += 16 << 10 {
		page := data[off : off+16<<10]
		for i := 6 << 10; i < len(page); i += 1 << 10 {
			copy(page[i:], page[:1<<10])
		}
	}
	return data
}

func put(t *testing.T, tr stream.Tree, name string, h stream.Hint, data []byte) {
	t.Helper()
	f, err := tr.Create(name, meta(0o640), h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func seal(t testing.TB, s *Session) SealResult {
	t.Helper()
	res, err := s.Seal(t.Context(), map[string]string{"source": s.source}, map[string]string{"state": "complete"})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func sealPoint(t testing.TB, v *Vault, id string, components ...point.Component) {
	t.Helper()
	p := point.Point{ID: id, Cloud: testCloud, Started: testTime, State: point.Complete, Components: components}
	if err := v.SealPoint(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func good(source, path string) point.Component {
	return point.Component{Source: source, Name: path, Path: path, State: point.Good}
}

func contentOf(t *testing.T, fsys fs.FS, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPointRoundTrip(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p1", "mariadb")
	files := map[string][]byte{
		"empty":        nil,
		"small.cnf":    []byte("[mysqld]\n"),
		"db/table.ibd": pages(5<<20+16<<10, 1),
		"db/dump.sql":  noise(3<<20+77, 2),
	}
	tr := s.Tree("mariadb/shard0/physical")
	for name, data := range files {
		h := stream.Plain
		if filepath.Ext(name) == ".ibd" {
			h = stream.Pages
		}
		put(t, tr, name, h, data)
	}
	if err := tr.Symlink("link", "db/table.ibd", meta(0o777)); err != nil {
		t.Fatal(err)
	}
	written, err := s.Finish("mariadb/shard0/physical")
	if err != nil {
		t.Fatal(err)
	}
	if written.Files != 4 || written.NewBytes < 3<<20 {
		t.Errorf("written = %+v", written)
	}
	res := seal(t, s)
	if res.ReadBack < readBackLeast || res.Proven < res.NewContents-1 {
		t.Errorf("seal = %+v", res)
	}
	if points, err := v.Points(t.Context()); err != nil || len(points) != 0 {
		t.Errorf("points before the point is sealed = %v, %v", points, err)
	}
	sealPoint(t, v, "p1", good("mariadb", "mariadb/shard0/physical"))

	again := openVault(t, v.Location())
	points, err := again.Points(t.Context())
	if err != nil || len(points) != 1 || points[0].ID != "p1" {
		t.Fatalf("points = %v, %v", points, err)
	}
	fsys, err := again.FS(t.Context(), "p1", "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		full := "mariadb/shard0/physical/" + name
		if got := contentOf(t, fsys, full); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from %d written", name, len(got), len(want))
		}
		fi, err := fs.Stat(fsys, full)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(meta(0o640), fi.Sys()); diff != "" {
			t.Errorf("%s: metadata (-want +got):\n%s", name, diff)
		}
	}
	if target, err := fsys.ReadLink("mariadb/shard0/physical/link"); err != nil || target != "db/table.ibd" {
		t.Errorf("link = %q, %v", target, err)
	}
}
