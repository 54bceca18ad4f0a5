package s3

import (
	"fmt"
	"testing"

	"github.com/kopia/kopia/repo/blob"
)

// TestCells fetches a cell at the second request, holds so many, and forgets those that were used longest ago.
func TestCells(t *testing.T) {
	var c cells
	key := func(n int) cellKey { return cellKey{blob.ID(fmt.Sprint("p", n)), 0} }
	for n := range cellsKept + 5 {
		if got, _ := c.take(key(n)); got != nil {
			t.Errorf("cell %d is there before it was asked for twice", n)
		}
		got, fetch := c.take(key(n))
		if got == nil || !fetch {
			t.Fatalf("cell %d is not fetched at the second request", n)
		}
		close(got.ready)
	}
	if _, fetch := c.take(key(cellsKept + 4)); fetch {
		t.Error("a cell that is held is fetched again")
	}
	if c.held != cellsKept {
		t.Errorf("%d cells are held, want %d", c.held, cellsKept)
	}
	if got, _ := c.take(key(0)); got != nil {
		t.Error("the oldest cell is still there")
	}
	c.forget(key(cellsKept + 4))
	if got, _ := c.take(key(cellsKept + 4)); got != nil || c.held != cellsKept-1 {
		t.Errorf("a forgotten cell is there, %d are held", c.held)
	}
	for n := range 2 * cellsSeen {
		c.take(cellKey{blob.ID(fmt.Sprint("q", n)), 0})
	}
	if c.order.Len() != cellsSeen || len(c.byKey) != cellsSeen || c.held != 0 {
		t.Errorf("%d cells are known, %d by name, %d held", c.order.Len(), len(c.byKey), c.held)
	}
}
