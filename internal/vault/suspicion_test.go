package vault

import (
	"os"
	"slices"
	"testing"

	"github.com/kopia/kopia/repo/content"
)

// TestCopyWithoutPacks: a copy whose pack is gone or cut is no copy for who removes the other one, although nobody has read it yet; what
// lies in other packs is.
func TestCopyWithoutPacks(t *testing.T) {
	for name, harm := range map[string]harm{
		"gone": func(path string, _ content.Info) error { return os.Remove(path) },
		"cut":  func(path string, i content.Info) error { return os.Truncate(path, int64(i.PackOffset)+1) },
	} {
		t.Run(name, func(t *testing.T) {
			first := newVault(t)
			imagePoint(t, first, "p1", "", upTo(20)...)
			imagePoint(t, first, "p2", "", 31, 32)
			imagePoint(t, first, "p3", "p2", 33)
			second := secondVault(t, first)
			replicate(t, first, second)
			check(t, second.AskForPacks(t.Context()))
			relies(t, first, second, "p1", "p2", "p3")
			strike(t, second, pieceOf(t, second, "p1", 5), harm)
			relies(t, first, second, "p1", "p2", "p3") // it was not asked since
			check(t, second.AskForPacks(t.Context()))
			relies(t, first, second, "p2", "p3")
		})
	}
}

// relies fails the test unless these points count as whole in the second vault, for it and for the first.
func relies(t *testing.T, first, second *Vault, want ...string) {
	t.Helper()
	copies, err := first.Copies(t.Context(), second)
	check(t, err)
	doubted, err := second.Doubted(t.Context())
	check(t, err)
	for id, whole := range copies {
		if wanted := slices.Contains(want, id); whole != wanted || doubted[id] == wanted {
			t.Errorf("point %s: whole %v, in doubt %v", id, whole, doubted[id])
		}
	}
}
