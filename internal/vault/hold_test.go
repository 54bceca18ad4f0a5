package vault

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

func heldPoint(t *testing.T, v *Vault, id string) {
	t.Helper()
	s := begin(t, v, id, "kolla")
	check(t, s.WriteFile("a/f", meta(0o600), []byte(id)))
	_, err := s.Finish("a")
	check(t, err)
	seal(t, s)
	sealPoint(t, v, id, good("kolla", "a"))
}

// TestHold: every process that opens the vault sees a hold, and the point cannot be deleted before it is released.
func TestHold(t *testing.T) {
	v := newVault(t)
	heldPoint(t, v, "p1")
	heldPoint(t, v, "p2")
	other := openVault(t, v.Location())
	want := map[string]point.Hold{"p1": {Reason: "audit of März", By: "root@backup", At: testTime}}
	check(t, v.Hold(t.Context(), "p1", point.Hold{Reason: "first"}))
	check(t, v.Hold(t.Context(), "p1", want["p1"]))
	got, err := other.Holds(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if err := other.Delete(t.Context(), "p1"); err == nil || !strings.Contains(problem.HintOf(err), "points release p1") {
		t.Errorf("deleted: %v", err)
	}
	check(t, other.Delete(t.Context(), "p2"))
	if points, err := v.Points(t.Context()); err != nil || len(points) != 1 || points[0].ID != "p1" {
		t.Errorf("points %+v, %v", points, err)
	}
	check(t, other.Release(t.Context(), "p1"))
	if got, err := v.Holds(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after its release: %v, %v", got, err)
	}
	check(t, v.Delete(t.Context(), "p1"))
	for _, err := range []error{v.Release(t.Context(), "p1"), v.Hold(t.Context(), "p1", want["p1"])} {
		if problem.KindOf(err) != problem.NotFound {
			t.Errorf("of a point that is not there: %v", err)
		}
	}
}

// TestReleaseCutOff: a hold that was to be released and whose blob is still there holds nothing.
func TestReleaseCutOff(t *testing.T) {
	v := newVault(t)
	heldPoint(t, v, "p1")
	check(t, v.Hold(t.Context(), "p1", point.Hold{Reason: "audit"}))
	name, err := v.holdName("p1")
	check(t, err)
	check(t, v.keep(t.Context(), name, held{Point: "p1", Hold: point.Hold{Reason: "audit"}, Released: true}))
	if got, err := v.Holds(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("holds %v, %v", got, err)
	}
	if err := v.Release(t.Context(), "p1"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("released again: %v", err)
	}
	check(t, v.Delete(t.Context(), "p1"))
}

// TestHoldTravels: a point that is on hold is so where it is copied to, unless one tier alone holds it.
func TestHoldTravels(t *testing.T) {
	first := newVault(t)
	heldPoint(t, first, "p1")
	heldPoint(t, first, "p2")
	want := map[string]point.Hold{"p1": {Reason: "audit", By: "root", At: testTime}}
	check(t, first.Hold(t.Context(), "p1", want["p1"]))
	check(t, first.Hold(t.Context(), "p2", point.Hold{Reason: "read from here", Tier: first.Location().Tier}))
	second := secondVault(t, first)
	replicate(t, first, second)
	_, err := second.Heal(t.Context(), "", []*Vault{first}, VerifyOptions{Depth: Structure})
	check(t, err)
	got, err := second.Holds(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestHoldBesideARemoval cannot tell whether it came in time, and says so; a removal that comes after it sees it.
func TestHoldBesideARemoval(t *testing.T) {
	v := newVault(t)
	heldPoint(t, v, "p1")
	heldPoint(t, v, "p2")
	l := own(t, v, false)
	if err := v.Hold(t.Context(), "p1", point.Hold{Reason: "audit"}); problem.KindOf(err) != problem.Busy {
		t.Errorf("beside a removal: %v", err)
	}
	if gone, err := l.Remove("p1", "p2"); err != nil || len(gone) != 1 || gone[0] != "p2" {
		t.Errorf("gone: %v, %v", gone, err)
	}
	maintain(t, v, MaintainOptions{Lease: l})
	check(t, v.Hold(t.Context(), "p1", point.Hold{Reason: "audit"}))
}

// TestDamagedHold holds nothing that can be told, so nobody may act as if there were none.
func TestDamagedHold(t *testing.T) {
	v := newVault(t)
	heldPoint(t, v, "p1")
	check(t, v.Hold(t.Context(), "p1", point.Hold{Reason: "audit"}))
	names, err := v.keptNames(t.Context(), holdBlobs)
	if err != nil || len(names) != 1 {
		t.Fatalf("holds %v, %v", names, err)
	}
	check(t, v.store.PutBlob(t.Context(), names[0], ownBytes("x"), blob.PutOptions{}))
	if _, err := v.Holds(t.Context()); problem.KindOf(err) != problem.Damage || problem.HintOf(err) == "" {
		t.Errorf("damaged: %v", err)
	}
	if err := v.Delete(t.Context(), "p1"); err == nil {
		t.Error("deleted under a damaged hold")
	}
}
