package vault

import (
	"bytes"
	"context"
	"io"

	"github.com/kopia/kopia/repo/object"

	"holdfast/internal/stream"
)

// Extent is a range of a file, in bytes.
type Extent = stream.Extent

// Extents returns where a file holds pieces that are not all zeros, joined where they touch, in ascending order. It reads
// no piece but those that are stored in so few bytes that they may be zeros, and each of those once.
func (f *File) Extents() ([]Extent, error) {
	zeros := zeroes{v: f.v, known: map[object.ID]bool{}}
	var all []Extent
	for _, e := range f.entries {
		zero, err := zeros.is(f.ctx, e)
		if err != nil {
			return nil, err
		}
		if !zero {
			all = join(all, Extent{Offset: e.Start, Length: e.Length})
		}
	}
	return all, nil
}

// Differs returns where two files may hold different bytes, in ascending order and up to the length of f: where their
// pieces are not the same. Nothing of either is read.
func (f *File) Differs(other *File) []Extent {
	same := make(map[int64]object.IndirectObjectEntry, len(other.entries))
	for _, e := range other.entries {
		same[e.Start] = e
	}
	var all []Extent
	for _, e := range f.entries {
		if same[e.Start] != e {
			all = join(all, Extent{Offset: e.Start, Length: e.Length})
		}
	}
	return all
}

// Walk hands the bytes of extents, which ascend, to do in order, in parts of at most a piece. Pieces are fetched ahead in
// parallel.
func (f *File) Walk(extents []Extent, do func(offset int64, data []byte) error) error {
	type part struct{ offset, within, length int64 }
	var places []int
	parts := map[int][]part{}
	for _, e := range extents {
		for at := e.Offset; at < e.End(); {
			n := f.at(at)
			if n == len(f.entries) {
				return io.ErrUnexpectedEOF
			}
			p := f.entries[n]
			length := min(e.End(), p.Start+p.Length) - at
			if parts[n] == nil {
				places = append(places, n)
			}
			parts[n] = append(parts[n], part{at, at - p.Start, length})
			at += length
		}
	}
	ahead := f.fetchAll(places)
	defer ahead.stop()
	for _, n := range places {
		data, err := ahead.next()
		if err != nil {
			return err
		}
		for _, p := range parts[n] {
			if err := do(p.offset, data[p.within:p.within+p.length]); err != nil {
				return err
			}
		}
	}
	return nil
}

// join appends an extent, or makes the last one longer.
func join(all []Extent, e Extent) []Extent {
	if n := len(all); n > 0 && all[n-1].End() == e.Offset {
		all[n-1].Length += e.Length
		return all
	}
	return append(all, e)
}

// zeroes tells pieces of zeros by their identity.
type zeroes struct {
	v     *Vault
	known map[object.ID]bool
}

// zeroPacked is the most bytes that a piece of zeros takes in a pack: compressed they are a few dozen.
const zeroPacked = 1 << 10

func (z *zeroes) is(ctx context.Context, e object.IndirectObjectEntry) (bool, error) {
	if zero, ok := z.known[e.Object]; ok {
		return zero, nil
	}
	zero, err := z.look(ctx, e)
	if err == nil {
		z.known[e.Object] = zero
	}
	return zero, err
}

func (z *zeroes) look(ctx context.Context, e object.IndirectObjectEntry) (bool, error) {
	if cid, _, ok := e.Object.ContentID(); ok {
		info, err := z.v.repo.ContentReader().ContentInfo(ctx, cid)
		if err != nil {
			return false, err
		}
		if info.PackedLength > zeroPacked {
			return false, nil
		}
	}
	data, err := z.v.read(ctx, e)
	if err != nil {
		return false, err
	}
	return len(data) <= len(zeroBytes) && bytes.Equal(data, zeroBytes[:len(data)]), nil
}
