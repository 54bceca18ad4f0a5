package vault

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream"
)

// TestCloudsOfOneVault: a vault opened under another name shows none of its points, but says whose they are.
func TestCloudsOfOneVault(t *testing.T) {
	v := openVault(t, twoPoints(t))
	renamed, err := Open(t.Context(), v.Location(), v.pass, OpenOptions{Cloud: "renamed", State: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	defer renamed.Close(t.Context())
	if points, err := renamed.Points(t.Context()); err != nil || len(points) != 0 {
		t.Errorf("points %v, %v", points, err)
	}
	clouds, err := renamed.Clouds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{testCloud: 2}, clouds); diff != "" {
		t.Errorf("clouds (-want +got):\n%s", diff)
	}
}

// TestSweepHeldIsForItsSources: the caller's own lock is no obstacle, and other sources are not looked at.
func TestSweepHeldIsForItsSources(t *testing.T) {
	v := newVault(t)
	for _, source := range []string{"mariadb", "kolla"} {
		s := begin(t, v, "p", source)
		put(t, s.Tree("x"), "a", stream.Plain, []byte("x"))
		seal(t, s)
	}
	writeAndSeal(t, v, "q")
	unlock, err := v.Lock("mariadb")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if n, err := v.SweepHeld(t.Context(), "mariadb"); err != nil || n != 1 {
		t.Errorf("swept %d, %v", n, err)
	}
	orphans, err := v.Orphans(t.Context())
	if err != nil || len(orphans) != 1 || orphans[0].Source != "kolla" {
		t.Errorf("orphans %+v, %v", orphans, err)
	}
	if points, err := v.Points(t.Context()); err != nil || len(points) != 1 || points[0].ID != "q" {
		t.Errorf("points %v, %v", points, err)
	}
}
