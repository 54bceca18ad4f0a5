package rbd

import (
	"math/rand/v2"
	"testing"

	"holdfast/internal/stream"
)

func pieces(data, zero int) (all []stream.Piece) {
	for n := range data + zero {
		all = append(all, stream.Piece{Extent: stream.Extent{Offset: int64(n) << 20, Length: 1 << 20}, Zero: n >= data})
	}
	return all
}

// TestChoose: no piece twice, three of four with data as far as there are any, and never more than there are.
func TestChoose(t *testing.T) {
	dice := rand.New(rand.NewChaCha8([32]byte{1}))
	for _, c := range []struct{ data, zero, n, wantData, wantZero int }{
		{100, 100, 16, 12, 4}, {100, 0, 16, 16, 0}, {0, 100, 16, 0, 16}, {5, 100, 16, 5, 11}, {100, 2, 16, 14, 2},
		{3, 4, 16, 3, 4}, {0, 0, 16, 0, 0}, {9, 9, 1, 1, 0},
	} {
		seen, data, zero := map[int64]bool{}, 0, 0
		for _, p := range choose(pieces(c.data, c.zero), c.n, dice) {
			seen[p.Offset] = true
			if p.Zero {
				zero++
			} else {
				data++
			}
		}
		if data != c.wantData || zero != c.wantZero || len(seen) != data+zero {
			t.Errorf("%d of %d and %d zeros: took %d and %d, %d different", c.n, c.data, c.zero, data, zero, len(seen))
		}
	}
}

// TestChooseReachesAll: over many runs every piece has its turn.
func TestChooseReachesAll(t *testing.T) {
	dice, seen := rand.New(rand.NewChaCha8([32]byte{2})), map[int64]bool{}
	for range 200 {
		for _, p := range choose(pieces(40, 40), 8, dice) {
			seen[p.Offset] = true
		}
	}
	if len(seen) != 80 {
		t.Errorf("%d of 80 pieces were ever looked at", len(seen))
	}
}

// TestWindow lies within its piece, at every place of a large piece at some time.
func TestWindow(t *testing.T) {
	dice, starts := rand.New(rand.NewChaCha8([32]byte{3})), map[int64]bool{}
	large := stream.Extent{Offset: 8 << 20, Length: 4 << 20}
	for range 20000 {
		w := window(large, dice)
		if w.Offset < large.Offset || w.End() > large.End() || w.Length != mostOfPiece {
			t.Fatalf("%+v of %+v", w, large)
		}
		starts[w.Offset] = true
	}
	if len(starts) != (4<<20-mostOfPiece)/page+1 {
		t.Errorf("%d starts", len(starts))
	}
	if w := window(stream.Extent{Offset: 1 << 20, Length: 1000}, dice); w.Offset != 1<<20 || w.Length != 1000 {
		t.Errorf("of a small piece: %+v", w)
	}
}
