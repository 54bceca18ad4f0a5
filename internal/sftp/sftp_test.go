package sftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"
)

// served is a directory behind the server of OpenSSH, which tells on its stderr what it is asked for.
func served(t *testing.T, base string) *Dir {
	t.Helper()
	server := []string{"sh", "-c", "exec /usr/lib/openssh/sftp-server -e -l DEBUG3", "sftp-server"}
	d, err := Open(t.Context(), Options{Command: server, Path: base})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close(context.Background())) })
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type text string

func (s text) Length() int { return len(s) }

func (s text) Reader() io.ReadSeekCloser {
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader(string(s)), io.NopCloser(nil)}
}

func (s text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

type buffer struct{ bytes.Buffer }

func (b *buffer) Length() int { return b.Len() }

func get(t *testing.T, d *Dir, id blob.ID, offset, length int64) (string, error) {
	t.Helper()
	var b buffer
	err := d.GetBlob(t.Context(), id, offset, length, &b)
	return b.String(), err
}

func list(t *testing.T, d *Dir, prefix blob.ID) (ids []string) {
	t.Helper()
	check(t, d.ListBlobs(t.Context(), prefix, func(m blob.Metadata) error {
		ids = append(ids, string(m.BlobID))
		return nil
	}))
	slices.Sort(ids)
	return ids
}

// TestBlobs puts, reads, lists, replaces and removes.
func TestBlobs(t *testing.T) {
	d := served(t, t.TempDir())
	large := strings.Repeat("0123456789abcdef", 40000)
	for id, data := range map[blob.ID]text{"pabcdef0123": text(large), "qabcdef0123": "q", "kopia.repository": "format"} {
		check(t, d.PutBlob(t.Context(), id, data, blob.PutOptions{}))
	}
	if got, err := get(t, d, "pabcdef0123", 0, -1); err != nil || got != large {
		t.Errorf("%d bytes of %d, %v", len(got), len(large), err)
	}
	if got, err := get(t, d, "pabcdef0123", 300001, 70000); err != nil || got != large[300001:370001] {
		t.Errorf("a part of %d bytes, %v", len(got), err)
	}
	if got, err := get(t, d, "qabcdef0123", 0, 1); err != nil || got != "q" {
		t.Errorf("all of it as a part: %q, %v", got, err)
	}
	for _, at := range []struct{ offset, length int64 }{{0, 2}, {1, 1}, {7, 1}, {-1, 1}} {
		if _, err := get(t, d, "qabcdef0123", at.offset, at.length); !errors.Is(err, blob.ErrInvalidRange) {
			t.Errorf("%+v: %v", at, err)
		}
	}
	if _, err := get(t, d, "pnone", 0, -1); !errors.Is(err, blob.ErrBlobNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if got := list(t, d, ""); !slices.Equal(got, []string{"kopia.repository", "pabcdef0123", "qabcdef0123"}) {
		t.Errorf("listed %q", got)
	}
	var at time.Time
	check(t, d.PutBlob(t.Context(), "qabcdef0123", text("other"), blob.PutOptions{GetModTime: &at}))
	if m, err := d.GetMetadata(t.Context(), "qabcdef0123"); err != nil || m.Length != 5 || !m.Timestamp.Equal(at) {
		t.Errorf("%+v at %v, %v", m, at, err)
	}
	check(t, d.DeleteBlob(t.Context(), "qabcdef0123"))
	check(t, d.DeleteBlob(t.Context(), "qabcdef0123"))
	if got := list(t, d, "q"); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if room, err := d.GetCapacity(t.Context()); err != nil || room.FreeB == 0 || room.FreeB > room.SizeB {
		t.Errorf("%+v, %v", room, err)
	}
}

// TestWrittenToDisk: every file is synced before it takes its name.
func TestWrittenToDisk(t *testing.T) {
	d := served(t, t.TempDir())
	check(t, d.PutBlob(t.Context(), "pabcdef0123", text("data"), blob.PutOptions{}))
	s := d.files.link.now
	check(t, d.Close(t.Context())) // after which all was said
	said := s.said.text()
	if sync, rename := strings.LastIndex(said, "fsync"), strings.LastIndex(said, "posix-rename"); sync < 0 || rename < sync {
		t.Errorf("the server was asked for:\n%s", said)
	}
}

// TestAbsentDirectory is not made by anything but Make.
func TestAbsentDirectory(t *testing.T) {
	base := filepath.Join(t.TempDir(), "mount", "vault")
	d := served(t, base)
	if err := d.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check: %v", err)
	}
	if err := d.PutBlob(t.Context(), "pabcdef0123", text("data"), blob.PutOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put: %v", err)
	}
	if err := d.ListBlobs(t.Context(), "", func(blob.Metadata) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(base)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	check(t, d.Make(t.Context()))
	check(t, d.PutBlob(t.Context(), "pabcdef0123", text("data"), blob.PutOptions{}))
	check(t, d.Check(t.Context()))
}

// TestMendShards: without the file that says how blobs are sorted nothing is lost, and one that is damaged gives way.
func TestMendShards(t *testing.T) {
	base := t.TempDir()
	d := served(t, base)
	check(t, d.PutBlob(t.Context(), "pabcdef0123456789abcdef", text("data"), blob.PutOptions{}))
	file := filepath.Join(base, ".shards")
	sound, err := os.ReadFile(file)
	check(t, err)
	if mended, err := served(t, base).MendShards(t.Context()); mended || err != nil {
		t.Errorf("what is sound: %v, %v", mended, err)
	}
	for _, damaged := range [][]byte{sound[:len(sound)/2], bytes.ReplaceAll(sound, []byte("3"), []byte("2"))} {
		check(t, os.WriteFile(file, damaged, 0o600))
		if _, err := get(t, served(t, base), "pabcdef0123456789abcdef", 0, -1); err == nil {
			t.Error("the blob is found with a damaged file")
		}
		if mended, err := served(t, base).MendShards(t.Context()); !mended || err != nil {
			t.Errorf("what is damaged: %v, %v", mended, err)
		}
		if data, err := get(t, served(t, base), "pabcdef0123456789abcdef", 0, -1); data != "data" || err != nil {
			t.Errorf("afterwards: %q, %v", data, err)
		}
	}
	check(t, os.Remove(file))
	if mended, err := served(t, base).MendShards(t.Context()); mended || err != nil {
		t.Errorf("what is gone: %v, %v", mended, err)
	}
}

// TestLostConnection: what comes after the loss of a connection goes over another.
func TestLostConnection(t *testing.T) {
	d := served(t, t.TempDir())
	check(t, d.PutBlob(t.Context(), "pabcdef0123", text("data"), blob.PutOptions{}))
	check(t, d.files.link.now.cmd.Process.Kill())
	if got, err := get(t, d, "pabcdef0123", 0, -1); err != nil || got != "data" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestRefused: what ssh says is in the error.
func TestRefused(t *testing.T) {
	_, err := Open(t.Context(), Options{Command: []string{"sh", "-c", "echo Permission denied, please try again. >&2; exit 255"}, Path: "/vault"})
	if err == nil || !strings.Contains(err.Error(), "ssh says: Permission denied, please try again.") {
		t.Errorf("%v", err)
	}
}
