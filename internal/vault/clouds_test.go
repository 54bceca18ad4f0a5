package vault

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
