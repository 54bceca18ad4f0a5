package vault

import (
	"fmt"

	"holdfast/internal/stream"
)

// Kept returns the pieces that no extent has touched yet, ascending: what the parent holds, or zeros.
func (i *Image) Kept() []stream.Piece {
	var all []stream.Piece
	for n, e := range i.was {
		if i.touched[n] || n == len(i.was)-1 && i.tail != nil {
			continue
		}
		zero, err := i.t.s.zero(int(e.Length))
		all = append(all, stream.Piece{Extent: stream.Extent{Offset: e.Start, Length: e.Length}, Zero: err == nil && e.Object == zero})
	}
	return all
}

// ReadKept returns what the vault holds of a piece that Kept told of. The store's own checks vouch for the bytes.
func (i *Image) ReadKept(p stream.Piece) ([]byte, error) {
	e := i.was[i.find(p.Offset)]
	switch {
	case e.Start != p.Offset || e.Length != p.Length:
		return nil, fmt.Errorf("image has no piece of %d bytes at %d", p.Length, p.Offset)
	case p.Zero:
		return make([]byte, e.Length), nil
	}
	return i.inherited(e)
}
