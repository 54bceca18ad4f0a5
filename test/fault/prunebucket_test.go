package fault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/vault"
	"holdfast/test/journey"
)

// prunedPoints are those of a bucket that is pruned to the newest: so many leave at once that somebody has to look first.
const prunedPoints = 7

// TestPruneBucket prunes a bucket that locks nothing: a look removes nothing, habit does not answer what is sudden, and what is
// confirmed leaves, and gives its space back, but for the newest.
func TestPruneBucket(t *testing.T) {
	k := newFarKiller(t, "prune", prunedPoints, "{last: 1}")
	k.sends()
	leaving := fmt.Sprint(prunedPoints - 1)
	if out := k.Run("prune", "s3", "--dry-run"); !strings.Contains(out, "of 7 points "+leaving+" would leave") || !strings.Contains(out, "look before anything is removed") {
		t.Errorf("a look says\n%s", out)
	}
	k.Fails(1, []string{"nothing was removed, " + leaving + " points would leave", "--confirm " + leaving}, "prune", "s3", "--yes")
	k.Fails(2, []string{leaving + " points would leave, not 5"}, "prune", "s3", "--confirm", "5")
	if held := k.held(); len(held) != prunedPoints {
		t.Fatalf("%d points are left before anybody confirmed", len(held))
	}
	before := k.bytes()
	k.Run("prune", "s3", "--confirm", leaving, "--exclusive")
	if held := k.held(); len(held) != 1 || held[0] != "p6" {
		t.Errorf("held are %v, want the newest", held)
	}
	if after := k.bytes(); after > before/2 {
		t.Errorf("of %d bytes %d are left", before, after)
	}
	k.honest()
	k.Run("verify", "--full", "--all", "--tier", "s3")
}

// TestPruneLockedBucket: points leave a bucket that locks what it holds, the newest stays, and what they consisted of is kept by the
// lock: as it was before, all of it can be read.
func TestPruneLockedBucket(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "prunelocked", true))
	p := newUphill(t, l, "prunelocked", "v", prunedPoints)
	_, err := p.open(p.near).SetImmutable(t.Context(), vault.Immutable{Mode: "compliance", Period: 72 * time.Hour})
	must(t, err)
	k := &farKiller{uphill: p, Operator: journey.At(t, p.site("{last: 1}"))}
	k.sends()
	before := nextSecond(t, l, "prunelocked").UTC().Format(time.RFC3339)
	nextSecond(t, l, "prunelocked")
	k.Fails(1, []string{"nothing was removed"}, "prune", "s3", "--yes")
	if out := k.Run("prune", "s3", "--confirm", fmt.Sprint(prunedPoints-1), "--exclusive"); strings.Contains(out, "are free again") || !strings.Contains(out, "a lifecycle rule") {
		t.Errorf("prune says\n%s", out)
	}
	if held := k.held(); len(held) != 1 || held[0] != "p6" {
		t.Errorf("held are %v, want the newest", held)
	}
	k.Run("verify", "--full", "--all", "--tier", "s3")
	k.Run("verify", "p0", "--full", "--tier", "s3", "--at", before)
	if out := k.Run("undelete", "s3", "--yes"); !strings.Contains(out, "nothing was deleted but by Holdfast itself") {
		t.Errorf("undelete says\n%s", out)
	}
}

// sends replicates all points, those too that the bucket is to let go.
func (k *farKiller) sends() {
	k.t.Helper()
	args := []string{"replicate", "s3"}
	for id := range k.data {
		args = append(args, "--point", id)
	}
	k.Run(args...)
}

// bytes is how much the bucket holds.
func (k *farKiller) bytes() (n int64) {
	k.t.Helper()
	v := k.open(k.near)
	stats, err := v.Stats(k.t.Context())
	must(k.t, err)
	return stats.Bytes
}
