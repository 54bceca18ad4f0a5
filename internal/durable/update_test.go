package durable

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

type counted struct{ N int }

// TestUpdateLosesNothing: many at once each have their turn, and a change that is refused is not written.
func TestUpdateLosesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "state.json")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := Update(name, func(c *counted) error { c.N++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	refused := errors.New("refused")
	if err := Update(name, func(c *counted) error { c.N = 0; return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got, err := Read[counted](name); err != nil || got.N != 20 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestUpdatePutsABrokenFileAside(t *testing.T) {
	for _, text := range []string{"", "{", `{"N": "x"}`} {
		name := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read[counted](name); err == nil {
			t.Errorf("%q was read", text)
		}
		if err := Update(name, func(c *counted) error { c.N += 2; return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := Read[counted](name)
		aside, asideErr := os.ReadFile(name + ".broken")
		if err != nil || got.N != 2 || asideErr != nil || string(aside) != text {
			t.Errorf("%q: %+v, %v; aside %q, %v", text, got, err, aside, asideErr)
		}
	}
}
