package vault

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/maintenance"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// TestHealDeep loses all directories of a vault, each of which hides what is below it.
func TestHealDeep(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	imagePoint(t, first, "p2", "p1", 3)
	second := secondVault(t, first)
	replicate(t, first, second)
	want := imageOf(t, first, "p2")
	for _, prefix := range []string{"p", "q"} {
		for _, file := range blobs(t, first.Location(), prefix) {
			check(t, os.Remove(file))
		}
	}
	v := openVault(t, first.Location())
	h, err := v.Heal(t.Context(), "", []*Vault{second}, VerifyOptions{Depth: Structure})
	if err != nil || len(h.Found) == 0 || h.Contents < 45 || h.From["second"] != h.Contents || len(h.Damaged) > 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	again := openVault(t, first.Location())
	if _, err := again.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
	if got := imageOf(t, again, "p2"); !slices.Equal(got, want) {
		t.Error("other bytes than before")
	}
}

// TestHealFromTwo heals what no other vault alone has whole.
func TestHealFromTwo(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	second, third := secondVault(t, first), secondVault(t, first)
	replicate(t, first, second)
	replicate(t, first, third)
	flipPiece := func(path string, info content.Info) error {
		flip(t, path, int(info.PackOffset), int(info.PackedLength))
		return nil
	}
	strike(t, first, pieceOf(t, first, "p1", 5), flipPiece)
	strike(t, first, pieceOf(t, first, "p1", 9), flipPiece)
	strike(t, second, pieceOf(t, second, "p1", 5), flipPiece)
	strike(t, third, pieceOf(t, third, "p1", 9), flipPiece)
	h, err := first.Heal(t.Context(), "p1", []*Vault{second, third}, VerifyOptions{Depth: Full})
	if err != nil || h.Contents != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	if set, err := second.doubted(t.Context()); err != nil || set.len() != 1 {
		t.Errorf("the vault that could not help does not remember it: %v, %v", set.all(), err)
	}
	if set, err := first.doubted(t.Context()); err != nil || set.len() != 0 {
		t.Errorf("doubts left: %v, %v", set.all(), err)
	}
}

// TestHealWhereRemovalIsLost loses what tells that a point was removed: it is seen once more, damaged since its bytes went with it, and
// is gone when the list is whole again.
func TestHealWhereRemovalIsLost(t *testing.T) {
	for name, left := range map[string]int{"alone": 0, "beside others": 1} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			imagePoint(t, v, "p1", "", upTo(20)...)
			imagePoint(t, v, "p2", "", 30, 31)
			own := pieceOf(t, v, "p1", 7)
			state := t.TempDir()
			reopen := func() *Vault {
				again, err := Open(t.Context(), v.Location(), testPass, OpenOptions{Cloud: testCloud, State: state})
				check(t, err)
				return again
			}
			knows := reopen()
			before := blobs(t, v.Location(), "q")
			check(t, knows.Delete(t.Context(), "p1"))
			_, err := knows.Points(t.Context())
			check(t, err, knows.Close(t.Context()))
			strike(t, v, own, zero)
			for _, file := range blobs(t, v.Location(), "q") {
				if !slices.Contains(before, file) {
					check(t, os.Remove(file))
				}
			}
			if left > 0 {
				strike(t, v, pieceOf(t, v, "p2", 0), zero)
			}
			knows = reopen()
			defer knows.Close(context.Background())
			h, err := knows.Heal(t.Context(), "", nil, VerifyOptions{Depth: Full})
			if len(h.Each) != 1 || h.Each[0].Point != "p2" || len(h.Damaged) != left || (err != nil) != (left > 0) {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
}

// TestHealOfStranger refuses a vault that names contents otherwise.
func TestHealOfStranger(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	if _, err := v.Heal(t.Context(), "", []*Vault{newVault(t)}, VerifyOptions{}); problem.KindOf(err) != problem.Usage {
		t.Errorf("%v", err)
	}
}

// TestHealEmptyVault loses the list of a vault that holds no point: it takes points again.
func TestHealEmptyVault(t *testing.T) {
	first := newVault(t)
	second := secondVault(t, first)
	for _, file := range blobs(t, second.Location(), "q") {
		check(t, os.Remove(file))
	}
	writeShared(t, first, "p1")
	again := openVault(t, second.Location())
	h, err := again.Heal(t.Context(), "", []*Vault{first}, VerifyOptions{})
	if problem.KindOf(err) != problem.NotFound || len(h.Mended) != 1 || !strings.Contains(h.Mended[0], "begun anew") {
		t.Errorf("%+v, %v", h, err)
	}
	replicate(t, first, openVault(t, second.Location()))
	if _, err := openVault(t, second.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// TestIndexesThatCannotBeReached are not given up.
func TestIndexesThatCannotBeReached(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	before := len(blobs(t, v.Location(), "x"))
	sound := v.store.Storage
	v.store.Storage = unreadable{&reads{Storage: sound}}
	if done, err := v.dropBadIndexes(t.Context(), t.TempDir()); err == nil {
		t.Errorf("%v", done)
	}
	v.store.Storage = sound
	if after := len(blobs(t, v.Location(), "x")); after != before {
		t.Errorf("%d indexes of %d", after, before)
	}
	for _, file := range blobs(t, v.Location(), "xn") {
		flip(t, file, 0, 4096)
	}
	aside := t.TempDir()
	if done, err := v.dropBadIndexes(t.Context(), aside); err != nil || len(done) == 0 {
		t.Errorf("%v, %v", done, err)
	}
	if kept, err := os.ReadDir(aside + "/damaged/local"); err != nil || len(kept) == 0 {
		t.Errorf("set aside: %v, %v", kept, err)
	}
	if n, _, err := v.nameAgain(t.Context(), true); err != nil || n == 0 {
		t.Errorf("%d named again, %v", n, err)
	}
	if _, err := openVault(t, v.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// TestRescueBesideAnOwner waits for who may be reclaiming space by the indexes that a rescue would change.
func TestRescueBesideAnOwner(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	l := own(t, v, false)
	before := blobs(t, v.Location(), "xn")
	for _, file := range before {
		flip(t, file, 0, 4096)
	}
	opts := OpenOptions{Cloud: testCloud, State: t.TempDir()}
	if _, err := Rescue(t.Context(), v.Location(), testPass, opts); err == nil || !strings.Contains(err.Error(), "in use: prune") {
		t.Errorf("beside a prune: %v", err)
	}
	if after := blobs(t, v.Location(), "xn"); !slices.Equal(after, before) {
		t.Errorf("indexes %q, before %q", after, before)
	}
	l.Release()
	r, err := Rescue(t.Context(), v.Location(), testPass, opts)
	if err != nil || len(r.Done) == 0 {
		t.Fatalf("after it: %q, %v", r.Done, err)
	}
	check(t, r.Close(t.Context()))
}

// TestPacksThatDoNotTell loses the indexes, and the one in a pack: a rescue and a healing say that nobody can tell what is in it.
func TestPacksThatDoNotTell(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	pack := blobs(t, v.Location(), "p")[0]
	info, err := os.Stat(pack)
	check(t, err, os.Truncate(pack, info.Size()-1))
	for _, file := range blobs(t, v.Location(), "xn") {
		flip(t, file, 0, 4096)
	}
	r, err := Rescue(t.Context(), v.Location(), testPass, OpenOptions{Cloud: testCloud, State: t.TempDir()})
	check(t, err)
	tells := func(done []string) bool {
		return slices.ContainsFunc(done, func(s string) bool { return strings.Contains(s, "cannot be read: 1, one is p") })
	}
	if !tells(r.Done) {
		t.Errorf("the rescue says %q", r.Done)
	}
	if h, err := r.Heal(t.Context(), "", nil, VerifyOptions{}); problem.KindOf(err) != problem.Damage || !tells(h.Mended) {
		t.Errorf("the healing says %q, %v", h.Mended, err)
	}
	check(t, r.Close(t.Context()))
}

// TestPacksCutBehindTheirContents: kopia fills the contents of a pack up and appends the pack's own index. One that is cut there is damaged,
// and what it holds is written anew from the pack itself when no other vault has it.
func TestPacksCutBehindTheirContents(t *testing.T) {
	for name, at := range map[string]func(end int64) int64{
		"contents": func(end int64) int64 { return end },
		"filling":  func(end int64) int64 { return (end/packUnit + 1) * packUnit },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			writeShared(t, v, "p1")
			ends := map[blob.ID]int64{}
			check(t, v.repo.ContentReader().IterateContents(t.Context(), content.IterateOptions{}, func(i content.Info) error {
				ends[i.PackBlobID] = max(ends[i.PackBlobID], int64(i.PackOffset)+int64(i.PackedLength))
				return nil
			}))
			for id, end := range ends {
				_, file, err := v.store.Storage.(placer).GetShardedPathAndFilePath(t.Context(), id)
				check(t, err)
				info, err := os.Stat(file)
				check(t, err)
				if info.Size() <= (end/packUnit+1)*packUnit {
					t.Fatalf("pack %s has %d bytes, and its contents end at %d", id, info.Size(), end)
				}
				check(t, os.Truncate(file, at(end)))
			}
			if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Structure}); problem.KindOf(err) != problem.Damage {
				t.Errorf("verify: %v", err)
			}
			h, err := v.Heal(t.Context(), "", nil, VerifyOptions{Depth: Full})
			if err != nil || h.Contents == 0 || h.From["local"] != h.Contents {
				t.Errorf("heal: %+v, %v", h, err)
			}
			if _, err := openVault(t, v.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
				t.Errorf("verify after: %v", err)
			}
		})
	}
}

// unreadable is a storage that is out of reach.
type unreadable struct{ *reads }

func (unreadable) GetBlob(context.Context, blob.ID, int64, int64, blob.OutputBuffer) error {
	return errors.New("connection reset")
}

// TestSealFindsDamage shares an index that is damaged as nobody knows: the session fails, and the next one writes it anew.
func TestSealFindsDamage(t *testing.T) {
	for _, c := range []struct {
		name  string
		index bool
	}{{"db/a.ibd", true}, {"db", false}} {
		v := newVault(t)
		writeShared(t, v, "p1")
		strike(t, v, contentOfEntry(t, v, "p1", "mariadb", c.name, c.index), zero)
		v = openVault(t, v.Location())
		s := begin(t, v, "p2", "mariadb")
		check(t, s.Tree("db").SetMeta(meta(0o750)))
		put(t, s.Tree("db"), "a.ibd", stream.Pages, noise(3<<20, 1))
		if _, err := s.Seal(t.Context(), nil, nil); !errors.Is(err, errUnproven) {
			t.Fatalf("%s: sealed over damage: %v", c.name, err)
		}
		v = openVault(t, v.Location())
		writeShared(t, v, "p3")
		if _, err := openVault(t, v.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
			t.Errorf("%s: afterwards: %v", c.name, err)
		}
	}
}

// TestHealWhatKopiaKeeps damages what kopia keeps beside packs and indexes: when maintenance was done, and markers of writers.
func TestHealWhatKopiaKeeps(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	check(t, v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return maintenance.SetSchedule(ctx, w, &maintenance.Schedule{})
	}))
	for _, name := range []blob.ID{maintenanceBlob, "s00112233445566778899aabbccddeeff-s0011223344556677001"} {
		check(t, v.store.PutBlob(t.Context(), name, ownBytes(noise(200, 1)), blob.PutOptions{}))
	}
	v = openVault(t, v.Location())
	h, err := v.Heal(t.Context(), "", nil, VerifyOptions{Depth: Full})
	if err != nil || len(h.Mended) != 1 || !strings.Contains(h.Mended[0], "maintenance begins anew") {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := maintenance.GetSchedule(t.Context(), v.repo); err != nil {
		t.Error(err)
	}
	writeShared(t, v, "p2")
	if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// TestEpochMarkers loses the mark of an epoch: it is written again where indexes of that epoch are.
func TestEpochMarkers(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	check(t, v.store.PutBlob(t.Context(), "xn3_00112233445566778899aabbccddeeff-s00112233445566770-c1", ownBytes(noise(200, 1)), blob.PutOptions{}))
	done, err := v.dropBadIndexes(t.Context(), "")
	if err != nil || len(done) != 2 || !strings.Contains(done[1], "xe3 was lost") {
		t.Errorf("%v, %v", done, err)
	}
	if _, err := openVault(t, v.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}
