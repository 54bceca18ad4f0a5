package vault

import (
	"errors"
	"os"
	"testing"

	"holdfast/internal/stream"
)

// TestSealProves harms the store between the write and the seal.
func TestSealProves(t *testing.T) {
	cases := map[string]func(path string) error{
		"a new pack is gone":      os.Remove,
		"a new pack is truncated": func(path string) error { return os.Truncate(path, 1<<20) },
	}
	for name, harm := range cases {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			s := begin(t, v, "p", "mariadb")
			put(t, s.Tree("db"), "t.ibd", stream.Pages, noise(packSize+packSize/4, 1))
			if _, err := s.Finish("db"); err != nil {
				t.Fatal(err)
			}
			if err := harm(blobs(t, v.Location(), "p")[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Seal(t.Context(), nil, nil); !errors.Is(err, errUnproven) {
				t.Errorf("seal = %v", err)
			}
			if left, err := v.Orphans(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("an unproven session is visible: %v, %v", left, err)
			}
		})
	}
}

// TestSealProvesWhatItShares writes again what the vault holds, and loses it before the seal.
func TestSealProvesWhatItShares(t *testing.T) {
	loc := twoPoints(t)
	s := begin(t, openVault(t, loc), "p3", "mariadb")
	put(t, s.Tree("db"), "a.ibd", stream.Pages, pages(2<<20, 1))
	if _, err := s.Finish("db"); err != nil {
		t.Fatal(err)
	}
	for _, p := range blobs(t, loc, "p") {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Seal(t.Context(), nil, nil); !errors.Is(err, errUnproven) {
		t.Errorf("seal = %v", err)
	}
}
