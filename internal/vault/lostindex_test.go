package vault

import (
	"os"
	"slices"
	"testing"
	"time"
)

// loseIndexes removes the indexes that came since before.
func loseIndexes(t *testing.T, v *Vault, before []string) {
	t.Helper()
	lost := 0
	for _, f := range blobs(t, v.Location(), "xn") {
		if !slices.Contains(before, f) {
			check(t, os.Remove(f))
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("no index came")
	}
}

func listedIDs(t *testing.T, v *Vault) (ids []string) {
	t.Helper()
	points, err := v.Points(t.Context())
	check(t, err)
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	return ids
}

// TestReclaimWhereIndexesAreLost: packs that no index names any more are no orphans while a point has a record.
func TestReclaimWhereIndexesAreLost(t *testing.T) {
	advance := clock(t)
	v := newStamped(t)
	noisyPoint(t, v, 0, 13<<20)
	before := blobs(t, v.Location(), "xn")
	noisyPoint(t, v, 1, 13<<20)
	advance(30 * time.Hour)
	loseIndexes(t, v, before)
	after := openVault(t, v.Location())
	after.store.Storage = stamped{after.store.Storage}
	if got := listedIDs(t, after); slices.Contains(got, "p0001") {
		t.Fatalf("nothing was lost: %v", got)
	}
	_, err := after.Maintain(t.Context(), MaintainOptions{Full: true})
	check(t, err)
	last := openVault(t, v.Location())
	if got := listedIDs(t, last); !slices.Contains(got, "p0001") {
		t.Errorf("listed after the cycle: %v", got)
	}
	if _, err := last.Verify(t.Context(), "p0001", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("the point whose indexes were lost: %v", err)
	}
}

// TestSweepWhereSealIsLost: a run whose point is not listed any more, because the index of its seal was lost, is none that was killed.
func TestSweepWhereSealIsLost(t *testing.T) {
	v := newVault(t)
	var before []string
	for _, id := range []string{"p1", "p2"} {
		s := begin(t, v, id, "mariadb")
		check(t, s.WriteFile("db/own", meta(0o600), noise(1<<20, id[1])))
		_, err := s.Finish("db")
		check(t, err)
		seal(t, s)
		before = blobs(t, v.Location(), "xn")
		sealPoint(t, v, id, good("mariadb", "db"))
	}
	loseIndexes(t, v, before)
	after := openVault(t, v.Location())
	orphans, err := after.Orphans(t.Context())
	check(t, err)
	if len(orphans) != 1 || orphans[0].Point != "p2" {
		t.Fatalf("looks like a killed run: %v", orphans)
	}
	check(t, after.Sweep(t.Context(), orphans...))
	if got := listedIDs(t, openVault(t, v.Location())); !slices.Equal(got, []string{"p1", "p2"}) {
		t.Errorf("listed after the sweep: %v", got)
	}
	if _, err := after.Verify(t.Context(), "p2", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}
