package vault

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
)

func aDrill(n int) point.Drill {
	return point.Drill{
		ID: fmt.Sprintf("d%03d", n), Point: "p", Tier: "local", Source: "mariadb", Started: time.Date(2026, 1, 1, 0, n, 0, 0, time.UTC), State: point.Proven,
		Parts: []point.DrillPart{{Component: "shard0/logical", State: point.Proven, Steps: []point.DrillStep{}, Findings: []point.DrillFinding{}}},
	}
}

// TestDrills keeps results of drills, and no more than so many.
func TestDrills(t *testing.T) {
	v := newVault(t)
	if all, err := v.Drills(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("a new vault has drills %v, %v", all, err)
	}
	const kept = 3
	for n := range kept + 2 {
		if err := v.KeepDrill(t.Context(), aDrill(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.dropOldDrills(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	all, err := v.Drills(t.Context())
	if err != nil || len(all) != kept {
		t.Fatalf("%d drills are kept: %v", len(all), err)
	}
	if diff := cmp.Diff(aDrill(2), all[0]); diff != "" {
		t.Errorf("the oldest: -want +got:\n%s", diff)
	}
	names, err := v.keptNames(t.Context(), drillBlobs)
	if err != nil || len(names) != kept {
		t.Fatalf("%d blobs, %v", len(names), err)
	}
	if err := v.put(t.Context(), names[0]+"x", "no drill"); err != nil { // what cannot be read is left out
		t.Fatal(err)
	}
	if all, err := v.Drills(t.Context()); err != nil || len(all) != kept {
		t.Errorf("%d drills beside one that cannot be read: %v", len(all), err)
	}
}

// TestDrillsStay lets the point of a drill go, and everything else that tidies a vault do its work. A copy of the point elsewhere
// was not drilled.
func TestDrillsStay(t *testing.T) {
	v := newVault(t)
	heldPoint(t, v, "p1")
	heldPoint(t, v, "p2")
	check(t, v.KeepDrill(t.Context(), aDrill(1)))
	second := secondVault(t, v)
	replicate(t, v, second)
	if all, err := second.Drills(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("the other vault has drills %v, %v", all, err)
	}
	l := own(t, v, false)
	if gone, err := l.Remove("p1"); err != nil || len(gone) != 1 {
		t.Errorf("gone: %v, %v", gone, err)
	}
	maintain(t, v, MaintainOptions{Lease: l})
	if all, err := openVault(t, v.Location()).Drills(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("drills that stayed: %v, %v", all, err)
	}
}
