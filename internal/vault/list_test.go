package vault

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/index"
	"github.com/kopia/kopia/repo/manifest"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// threePoints returns a closed vault with the points p1, p2 and p3, which share nothing.
func threePoints(t *testing.T) Location {
	t.Helper()
	v := newVault(t)
	for _, id := range []string{"p1", "p2", "p3"} {
		writeAndSeal(t, v, id)
	}
	return v.Location()
}

// listContents returns the contents in which kopia lists the snapshots.
func listContents(t *testing.T, v *Vault) (ids []content.ID) {
	t.Helper()
	err := v.repo.ContentReader().IterateContents(t.Context(), content.IterateOptions{Range: index.PrefixRange(manifest.ContentPrefix)},
		func(info content.Info) error {
			ids = append(ids, info.ContentID)
			return nil
		})
	check(t, err)
	return ids
}

// loseList harms everything in which kopia lists the snapshots.
func loseList(t *testing.T, loc Location, h harm) {
	t.Helper()
	v := openVault(t, loc)
	ids := listContents(t, v)
	if len(ids) < 4 {
		t.Fatalf("%d lists", len(ids))
	}
	for _, id := range ids {
		strike(t, v, id, func(path string, info content.Info) error {
			if _, err := os.Stat(path); err != nil {
				return nil // removed with another list
			}
			return h(path, info)
		})
	}
}

// restorable fails the test unless the point's file can be read.
func restorable(t *testing.T, v *Vault, id string) {
	t.Helper()
	fsys, err := v.FS(t.Context(), id, "mariadb")
	check(t, err)
	if got := string(contentOf(t, fsys, "db/"+id)); got != "content of "+id {
		t.Errorf("%s = %q", id, got)
	}
}

func ids(points []point.Point) (ids []string) {
	for _, p := range points {
		if p.State == point.Complete {
			ids = append(ids, p.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// What kopia lists all snapshots in is lost: every point is listed from its record, can be restored, and says so; nothing
// is deleted, and the next backup mends the list.
func TestLostList(t *testing.T) {
	for name, h := range harms {
		t.Run(name, func(t *testing.T) {
			loc := threePoints(t)
			loseList(t, loc, h)
			v := openVault(t, loc)
			points, err := v.Points(t.Context())
			if err != nil || !slices.Equal(ids(points), []string{"p1", "p2", "p3"}) {
				t.Fatalf("points = %+v, %v", points, err)
			}
			for _, p := range points {
				if len(p.Notes) == 0 || !strings.Contains(strings.Join(p.Notes, "\n"), "list of points is damaged") {
					t.Errorf("notes of %s = %q", p.ID, p.Notes)
				}
				restorable(t, v, p.ID)
				rep, err := v.Verify(t.Context(), p.ID, VerifyOptions{Depth: Full})
				if problem.KindOf(err) != problem.Damage || !strings.Contains(rep.Damaged[0].What, "list of points") {
					t.Errorf("verify %s = %+v, %v", p.ID, rep, err)
				}
				for _, d := range rep.Damaged {
					if d.Source != pointPath {
						t.Errorf("verify %s: damage of data that is whole: %+v", p.ID, d)
					}
				}
			}
			if _, err := v.FS(t.Context(), "p9", "mariadb"); problem.KindOf(err) != problem.Unreachable || problem.HintOf(err) == "" {
				t.Errorf("a point that nothing tells of: %v", err)
			}
			if err := v.Delete(t.Context(), "p1"); problem.KindOf(err) != problem.Unreachable || problem.HintOf(err) == "" {
				t.Errorf("delete: %v", err)
			}
			mended(t, loc)
			if name == "zeroed" {
				maintained(t, loc)
			}
		})
	}
}

// maintained frees what no point holds.
func maintained(t *testing.T, loc Location) {
	t.Helper()
	v := openVault(t, loc)
	maintain(t, v, MaintainOptions{Full: true})
	if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("verify after maintenance: %v", err)
	}
}

// mended takes a backup, after which kopia lists every point again and a point can be deleted.
func mended(t *testing.T, loc Location) {
	t.Helper()
	v := openVault(t, loc)
	seal(t, begin(t, v, "killed", "mariadb"))
	if swept := sweep(t, v, "mariadb"); swept != 0 {
		t.Errorf("swept %d while not all is known", swept)
	}
	writeAndSeal(t, v, "p4")
	v = openVault(t, loc)
	points, err := v.Points(t.Context())
	if err != nil || !slices.Equal(ids(points), []string{"p1", "p2", "p3", "p4"}) {
		t.Fatalf("points = %+v, %v", points, err)
	}
	if _, lost, err := v.list(t.Context(), nil); lost != nil || err != nil {
		t.Errorf("the list: %v, %v", lost, err)
	}
	check(t, v.Delete(t.Context(), "p2"))
	for _, id := range []string{"p1", "p3", "p4"} {
		restorable(t, openVault(t, loc), id)
	}
	if _, err := v.FS(t.Context(), "p2", "mariadb"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("the deleted point: %v", err)
	}
	if swept := sweep(t, v, "mariadb"); swept != 1 {
		t.Errorf("swept %d", swept)
	}
}

// The manifest of one point is lost, and its record tells what it held.
func TestLostManifest(t *testing.T) {
	loc := threePoints(t)
	v := openVault(t, loc)
	m, err := v.sealed(t.Context(), "p2")
	check(t, err)
	cid, _, _ := m.RootObjectID().ContentID()
	strike(t, v, cid, zero)
	v = openVault(t, loc)
	points, err := v.Points(t.Context())
	if err != nil || !slices.Equal(ids(points), []string{"p1", "p2", "p3"}) {
		t.Fatalf("points = %+v, %v", points, err)
	}
	for _, p := range points {
		if told := len(p.Notes) == 1 && strings.Contains(p.Notes[0], "manifest"); told != (p.ID == "p2") {
			t.Errorf("notes of %s = %q", p.ID, p.Notes)
		}
		restorable(t, v, p.ID)
	}
	rep, err := v.Verify(t.Context(), "p2", VerifyOptions{Depth: Full})
	if problem.KindOf(err) != problem.Damage || rep.Files < 2 {
		t.Errorf("verify = %+v, %v", rep, err)
	}
}

// The directories of one point are lost: it says so, and the others are as they were.
func TestLostDirectories(t *testing.T) {
	for name, h := range harms {
		t.Run(name, func(t *testing.T) {
			loc := threePoints(t)
			strike(t, openVault(t, loc), contentOfEntry(t, openVault(t, loc), "p2", "mariadb", "db", false), h)
			v := openVault(t, loc)
			points, err := v.Points(t.Context())
			if err != nil || !slices.Equal(ids(points), []string{"p1", "p2", "p3"}) {
				t.Fatalf("points = %+v, %v", points, err)
			}
			if rep, err := v.Verify(t.Context(), "p2", VerifyOptions{}); problem.KindOf(err) != problem.Damage || rep.Damaged[0].Source != "mariadb" {
				t.Errorf("verify p2 = %+v, %v", rep, err)
			}
			fsys, err := v.FS(t.Context(), "p2", "mariadb")
			check(t, err)
			if _, err := fsys.ReadFile("db/p2"); problem.KindOf(err) != problem.Damage || !strings.Contains(err.Error(), "db/p2: read directory") {
				t.Errorf("read = %v", err)
			}
			for _, id := range []string{"p1", "p3"} {
				restorable(t, v, id)
				if _, err := v.Verify(t.Context(), id, VerifyOptions{Depth: Full}); err != nil {
					t.Errorf("verify %s: %v", id, err)
				}
			}
		})
	}
}

// A point's record goes with it, and tells nothing to whoever has only the blobs.
func TestRecordOfADeletedPoint(t *testing.T) {
	loc := threePoints(t)
	v := openVault(t, loc)
	names, err := v.keptNames(t.Context(), recordBlobs)
	if err != nil || len(names) != 3 {
		t.Fatalf("records = %v, %v", names, err)
	}
	for _, name := range names {
		var data outputBuffer
		check(t, v.store.GetBlob(t.Context(), name, 0, -1, &data))
		if strings.Contains(string(name), "p1") || strings.Contains(data.String(), "mariadb") {
			t.Errorf("%s tells of its point", name)
		}
	}
	check(t, v.Delete(t.Context(), "p1"))
	loseList(t, loc, zero)
	points, err := openVault(t, loc).Points(t.Context())
	if err != nil || !slices.Equal(ids(points), []string{"p2", "p3"}) {
		t.Errorf("points = %+v, %v", points, err)
	}
}

// A record is not taken for another's, nor one that was tampered with for one.
func TestForgedRecord(t *testing.T) {
	loc := threePoints(t)
	v := openVault(t, loc)
	one, err := v.recordName("p1")
	check(t, err)
	other, err := v.recordName("p2")
	check(t, err)
	var data outputBuffer
	check(t, v.store.GetBlob(t.Context(), one, 0, -1, &data))
	ctx := context.Background()
	check(t, v.store.PutBlob(ctx, other, ownBytes(data.Bytes()), blob.PutOptions{}))
	if r, err := v.record(ctx, "p2"); err == nil {
		t.Errorf("the record of p2 = %+v", r)
	}
	if r, err := v.record(ctx, "p1"); err != nil || r.Point.ID != "p1" || len(r.Snapshots) != 2 {
		t.Errorf("the record of p1 = %+v, %v", r, err)
	}
}

// Stock kopia, which knows nothing of the blobs beside its own, uses and maintains the vault and leaves them.
func TestStockKopiaLeavesOwnBlobs(t *testing.T) {
	v := newVault(t)
	writeShared(t, v, "p1")
	check(t, v.doubt(t.Context(), contentOfEntry(t, v, "p1", "mariadb", "db/a.ibd", false)))
	check(t, v.KeepDrill(t.Context(), aDrill(1)))
	before, err := v.keptNames(t.Context(), "holdfast.")
	if err != nil || len(before) != 3 {
		t.Fatalf("own blobs = %v, %v", before, err)
	}
	k := stockKopia(t)
	k.run("repository", "connect", "filesystem", "--path", v.Location().URL, "--override-username", user, "--override-hostname", testCloud)
	k.run("maintenance", "run", "--full", "--safety", "none")
	k.run("--dangerous-commands=enabled", "blob", "gc", "--delete", "yes", "--safety", "none")
	k.run("snapshot", "verify", "--verify-files-percent=100")
	after, err := v.keptNames(t.Context(), "holdfast.")
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("own blobs = %v, were %v, %v", after, before, err)
	}
	if s := begin(t, v, "p2", "mariadb"); s.doubted.len() != 1 {
		t.Error("the doubt is gone")
	}
}

// The cache of the host still has the list that the store has lost: a verification is not deceived, and the next backup
// of the same host mends the list.
func TestLostListBehindTheCache(t *testing.T) {
	loc, state := threePoints(t), t.TempDir()
	open := func() *Vault {
		v, err := Open(t.Context(), loc, testPass, OpenOptions{Cloud: testCloud, State: state})
		check(t, err)
		t.Cleanup(func() { check(t, v.Close(context.Background())) })
		return v
	}
	v := open()
	if points, err := v.Points(t.Context()); err != nil || len(points) != 3 {
		t.Fatalf("points = %+v, %v", points, err)
	}
	check(t, v.Delete(t.Context(), "p3"))
	if points, err := v.Points(t.Context()); err != nil || len(points) != 2 {
		t.Fatalf("points = %+v, %v", points, err)
	}
	loseList(t, loc, harms["removed"])
	v = open()
	if _, lost, err := v.list(t.Context(), nil); lost != nil || err != nil {
		t.Fatalf("the cache has no list: %v, %v", lost, err)
	}
	if _, err := v.Verify(t.Context(), "p1", VerifyOptions{}); problem.KindOf(err) != problem.Damage {
		t.Errorf("verify = %v", err)
	}
	writeAndSeal(t, v, "p4")
	v = openVault(t, loc)
	if _, lost, err := v.list(t.Context(), nil); lost != nil || err != nil {
		t.Errorf("the list: %v, %v", lost, err)
	}
	points, err := v.Points(t.Context())
	if err != nil || !slices.Equal(ids(points), []string{"p1", "p2", "p4"}) {
		t.Errorf("points = %+v, %v", points, err)
	}
}
