package vault

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/indexblob"
	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// harm is what happens to the pack that holds a content.
type harm func(path string, info content.Info) error

var harms = map[string]harm{
	"removed":   func(path string, _ content.Info) error { return os.Remove(path) },
	"truncated": func(path string, _ content.Info) error { return os.Truncate(path, 100) },
	"zeroed":    zero,
}

// zero erases a content in a pack that stays as long as it was, more than the error correction mends.
func zero(path string, info content.Info) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, info.PackedLength), int64(info.PackOffset))
	return errors.Join(err, f.Close())
}

// strike harms the pack of a content.
func strike(t *testing.T, v *Vault, id content.ID, h harm) {
	t.Helper()
	info, err := v.repo.ContentReader().ContentInfo(t.Context(), id)
	check(t, err)
	_, path, err := v.store.Storage.(placer).GetShardedPathAndFilePath(t.Context(), info.PackBlobID)
	check(t, err, h(path, info))
}

// writeShared seals a point that holds the same as every other that it writes.
func writeShared(t *testing.T, v *Vault, id string) {
	t.Helper()
	s := begin(t, v, id, "mariadb")
	check(t, s.Tree("db").SetMeta(meta(0o750)))
	put(t, s.Tree("db"), "a.ibd", stream.Pages, noise(3<<20, 1))
	seal(t, s)
	sealPoint(t, v, id, good("mariadb", "db"))
}

// contentOfEntry returns the first content of a file or directory of a source of a point, or of its index.
func contentOfEntry(t *testing.T, v *Vault, id, source, name string, index bool) content.ID {
	t.Helper()
	fsys, err := v.FS(t.Context(), id, source)
	check(t, err)
	e, err := fsys.lookup(name)
	check(t, err)
	of := e.ObjectID
	if i, nested := of.IndexObjectID(); nested && index {
		of = i
	} else if nested {
		entries, err := contentsOf(v.repo).entries(t.Context(), of, e.FileSize)
		check(t, err)
		of = entries[1].Object
	}
	cid, _, ok := of.ContentID()
	if !ok {
		t.Fatalf("%s has no content", name)
	}
	return cid
}

// A vault that lost what points share, or found it damaged, takes the next backup all the same: it writes what is
// missing, and the earlier point is whole again, unless what is its own was lost too.
func TestNextBackupMendsWhatIsLost(t *testing.T) {
	for _, c := range []struct {
		what, name string
		index      bool
		harm       string
		own        bool // the pack holds what is the earlier point's alone
	}{
		{"pieces", "db/a.ibd", false, "removed", false},
		{"pieces", "db/a.ibd", false, "truncated", false},
		{"a piece", "db/a.ibd", false, "zeroed", false},
		{"indexes and directories", "db", false, "removed", true},
		{"indexes and directories", "db", false, "truncated", true},
		{"an index", "db/a.ibd", true, "zeroed", false},
		{"a directory", "db", false, "zeroed", false},
	} {
		t.Run(c.what+" "+c.harm, func(t *testing.T) {
			v := newVault(t)
			writeShared(t, v, "p1")
			strike(t, v, contentOfEntry(t, v, "p1", "mariadb", c.name, c.index), harms[c.harm])
			v = openVault(t, v.Location())
			if _, err := v.Verify(t.Context(), "p1", VerifyOptions{Depth: Full}); problem.KindOf(err) != problem.Damage {
				t.Fatalf("verify before: %v", err)
			}
			writeShared(t, openVault(t, v.Location()), "p2")
			v = openVault(t, v.Location())
			ids := []string{"p1", "p2"}
			if c.own {
				ids = ids[1:]
			}
			for _, id := range ids {
				if rep, err := v.Verify(t.Context(), id, VerifyOptions{Depth: Full}); err != nil || rep.Note != "" {
					t.Errorf("verify %s after = %+v, %v", id, rep, err)
				}
			}
			if doubts, err := v.doubts(t.Context()); err != nil || len(doubts) > 0 && !c.own {
				t.Errorf("doubts left: %v, %v", doubts, err)
			}
		})
	}
}

// What a restore found damaged is not shared either.
func TestReadRaisesDoubts(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	strike(t, v, contentOfEntry(t, v, "p1", "mariadb", "db/a.ibd", false), zero)
	v = openVault(t, v.Location())
	fsys, err := v.FS(t.Context(), "p1", "mariadb")
	check(t, err)
	if _, err := fsys.ReadFile("db/a.ibd"); err == nil {
		t.Fatal("damage was read")
	}
	if set, err := v.doubted(t.Context()); err != nil || set.len() != 1 {
		t.Fatalf("doubts = %v, %v", set.all(), err)
	}
	writeShared(t, v, "p2")
	if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("verify after: %v", err)
	}
	if set, err := v.doubted(t.Context()); err != nil || set.len() != 0 {
		t.Errorf("doubts left = %v, %v", set.all(), err)
	}
}

// A doubt about what is whole costs nothing but a read, and ends with the next session or verification that reads it.
func TestUnfoundedDoubts(t *testing.T) {
	for name, settle := range map[string]func(*testing.T, *Vault){
		"session": func(t *testing.T, v *Vault) {
			s := begin(t, v, "p2", "mariadb")
			put(t, s.Tree("db"), "a.ibd", stream.Pages, noise(3<<20, 1))
			w, err := s.Finish("db")
			check(t, err)
			if w.NewContents != 0 {
				t.Errorf("written anew: %+v", w)
			}
			seal(t, s)
		},
		"verification": func(t *testing.T, v *Vault) {
			rep, err := v.Verify(t.Context(), "p1", VerifyOptions{Depth: Structure})
			if err != nil || rep.Read != 1 {
				t.Errorf("verify = %+v, %v", rep, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			writeShared(t, v, "p1")
			check(t, v.doubt(t.Context(), contentOfEntry(t, v, "p1", "mariadb", "db/a.ibd", false)))
			settle(t, v)
			if set, err := v.doubted(t.Context()); err != nil || set.len() != 0 {
				t.Errorf("doubts left = %v, %v", set.all(), err)
			}
		})
	}
}

// A doubt about what a point needs stays while that is marked as unused, or named by no index: it may be named again as it is.
func TestDoubtsOfWhatIsNeeded(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	id := contentOfEntry(t, v, "p1", "mariadb", "db/a.ibd", false)
	strike(t, v, id, zero)
	stays := func() {
		t.Helper()
		v = openVault(t, v.Location())
		if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); problem.KindOf(err) != problem.Damage {
			t.Errorf("verify: %v", err)
		}
		if set, err := v.doubted(t.Context()); err != nil || !set.has(id) {
			t.Errorf("doubts = %v, %v", set.all(), err)
		}
	}
	stays()
	check(t, v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return w.ContentManager().DeleteContent(ctx, id)
	}))
	stays()
	check(t, v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		_, err := w.ContentManager().CompactIndexes(ctx, indexblob.CompactOptions{AllIndexes: true, DropDeletedBefore: time.Now().Add(time.Hour)})
		return err
	}))
	stays()
}

// A vault on a read-only mount is verified all the same, and the report says that nobody will remember.
func TestVerifyReadOnly(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	strike(t, v, contentOfEntry(t, v, "p1", "mariadb", "db/a.ibd", false), zero)
	dir := v.Location().URL
	check(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	rep, err := v.Verify(t.Context(), "p1", VerifyOptions{Depth: Full})
	if problem.KindOf(err) != problem.Damage || rep.Note == "" {
		t.Errorf("verify = %+v, %v", rep, err)
	}
}
