package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"slices"
	"sort"

	"github.com/kopia/kopia/repo/object"

	"holdfast/internal/stream"
)

// Bounds of the pieces of block images, in bytes: small ones store less of random writes, large ones keep the index of a
// large image small, and the vault's.
const (
	leastBlock  = 512 << 10
	mostBlock   = 4 << 20
	blocksAimed = 1 << 18
)

// BlockSize is the size in bytes of the pieces that an image of that size is cut into at its first full.
func BlockSize(size int64) int64 {
	n := max((size+blocksAimed-1)/blocksAimed, 1)
	return min(max(int64(1)<<bits.Len64(uint64(n-1)), leastBlock), mostBlock)
}

// ImageOptions describe a block image.
type ImageOptions struct {
	Size int64 // in bytes
	// Block is the size of pieces where the parent has none; 0 means BlockSize(Size).
	Block int64
	// The first Head bytes are cut into pieces of HeadBlock instead, where the parent has none: as those of an image
	// that this one is a clone of, so that what both hold is stored once.
	Head, HeadBlock int64
	// Parent is the image as an earlier point holds it, which stays wherever nothing else is written; the zero Entry
	// means that all is zeros.
	Parent Entry
}

// Image is a block image on its way into the vault: what its parent holds, or zeros, and on it the extents that are
// written, in ascending order. Only pieces that an extent touches are written; of those that it covers in part, the rest
// is read from the parent. It implements stream.Image.
type Image struct {
	writing

	end  int64                        // of the extents so far
	left int64                        // bytes of the present extent that are still to be written
	hand int                          // the piece in hand, or -1
	buf  []byte                       // its bytes
	was  []object.IndirectObjectEntry // the pieces that it began with

	touched []bool // by an extent, of these
	tail    []byte // what is left of the last piece where the image became shorter, until something else is written there
}

var _ stream.Image = (*Image)(nil)

// Image starts a block image at p, which is a component of its own: Finish and Drop take the same path.
func (s *Session) Image(p string, m stream.Meta, o ImageOptions) (*Image, error) {
	t := s.Tree(p)
	if err := o.complete(); err != nil {
		return nil, &fs.PathError{Op: "create", Path: p, Err: err}
	}
	i := &Image{writing: writing{t: t, path: t.base, meta: m, body: newBody(t)}, hand: -1}
	if err := t.track(&i.writing); err != nil {
		return nil, err
	}
	if err := i.inherit(o); err != nil {
		i.Abort()
		return nil, fmt.Errorf("begin image %s: %w", p, err)
	}
	return i, nil
}

// complete fills in what was left open.
func (o *ImageOptions) complete() error {
	if o.Block == 0 {
		o.Block = BlockSize(o.Size)
	}
	if o.HeadBlock == 0 {
		o.Head = 0
	}
	if o.Size < 0 || o.Block < 1 || max(o.Block, o.HeadBlock) > mostBlock || o.Head < 0 || o.HeadBlock < 0 {
		return fmt.Errorf("image of %d bytes in pieces of %d, the first %d of them in pieces of %d", o.Size, o.Block, o.Head, o.HeadBlock)
	}
	return nil
}

// next is how long the piece at an offset is where the parent has none.
func (o *ImageOptions) next(at int64) int64 {
	if at < o.Head {
		return min(o.HeadBlock, o.Head-at, o.Size-at)
	}
	return min(o.Block, o.Size-at)
}

// inherit lays the parent's pieces out, cut to the image's size, and zeros for what is missing.
func (i *Image) inherit(o ImageOptions) error {
	if e := o.Parent.entry; e != nil {
		entries, err := contentsOf(i.t.s.w).entries(i.t.s.ctx, e.ObjectID, e.FileSize)
		if err != nil {
			return fmt.Errorf("%w: %w", stream.ErrBase, err)
		}
		for _, p := range entries {
			if p.Start >= o.Size {
				break
			}
			i.body.add(p.Length, p.Object)
		}
	}
	if over := i.body.length() - o.Size; over > 0 {
		i.was, i.touched = slices.Clone(i.body.entries), make([]bool, len(i.body.entries))
		return i.shorten(over)
	}
	for i.body.length() < o.Size {
		length := o.next(i.body.length())
		id, err := i.t.s.zero(int(length))
		if err != nil {
			return err
		}
		i.body.add(length, id)
	}
	i.was, i.touched = slices.Clone(i.body.entries), make([]bool, len(i.body.entries))
	return nil
}

// shorten cuts bytes off the last piece.
func (i *Image) shorten(over int64) error {
	last := i.body.entries[len(i.body.entries)-1]
	data, err := i.inherited(last)
	if err != nil {
		return err
	}
	i.tail = data[:last.Length-over]
	i.body.shorten(over)
	return nil
}

// Next begins an extent of bytes that are then written with Write. Extents ascend without overlapping.
func (i *Image) Next(offset, length int64) error {
	if err := i.begin(offset, length); err != nil {
		return err
	}
	i.left = length
	return nil
}

func (i *Image) begin(offset, length int64) error {
	switch {
	case i.done:
		return fs.ErrClosed
	case i.left > 0:
		return fmt.Errorf("%d bytes of the extent before %d are missing", i.left, offset)
	case length <= 0, offset < i.end, length > i.body.length()-offset:
		return fmt.Errorf("extent of %d bytes at %d after %d in an image of %d", length, offset, i.end, i.body.length())
	}
	i.end = offset + length
	return nil
}

// Write writes bytes of the present extent.
func (i *Image) Write(p []byte) (int, error) {
	if int64(len(p)) > i.left {
		return 0, errors.New("more bytes than the extent has")
	}
	for rest := p; len(rest) > 0; {
		at := i.end - i.left
		piece, within, err := i.piece(at, at+i.left)
		if err != nil {
			return len(p) - len(rest), err
		}
		n := copy(i.buf[within:piece.Length], rest)
		rest = rest[n:]
		i.left -= int64(n)
	}
	return len(p), nil
}

// ReadFrom writes bytes of the present extent straight from where they come from, up to the extent's end. It implements
// io.ReaderFrom, for io.Copy.
func (i *Image) ReadFrom(r io.Reader) (total int64, err error) {
	for i.left > 0 {
		at := i.end - i.left
		piece, within, err := i.piece(at, at+i.left)
		if err != nil {
			return total, err
		}
		n, err := r.Read(i.buf[within:min(piece.Length, within+i.left)])
		i.left -= int64(n)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Zero writes an extent of zeros.
func (i *Image) Zero(offset, length int64) error {
	if err := i.begin(offset, length); err != nil {
		return err
	}
	for at := offset; at < i.end; {
		n := i.find(at)
		e := i.body.entries[n]
		if e.Start == at && e.Start+e.Length <= i.end {
			if err := i.hole(n); err != nil {
				return err
			}
			at += e.Length
			continue
		}
		_, within, err := i.piece(at, i.end)
		if err != nil {
			return err
		}
		stop := min(e.Start+e.Length, i.end)
		clear(i.buf[within : stop-e.Start])
		at = stop
	}
	return nil
}

// hole makes zeros of a whole piece.
func (i *Image) hole(n int) error {
	if err := i.flush(); err != nil {
		return err
	}
	id, err := i.t.s.zero(int(i.body.entries[n].Length))
	if err != nil {
		return err
	}
	i.replaced(n)
	i.touched[n] = true
	i.body.set(n, id)
	return nil
}

// piece takes the piece that holds offset at into the hand, for an extent that ends at end, and returns where in it at is.
func (i *Image) piece(at, end int64) (object.IndirectObjectEntry, int64, error) {
	n := i.find(at)
	e := i.body.entries[n]
	if n == i.hand {
		return e, at - e.Start, nil
	}
	if err := i.flush(); err != nil {
		return e, 0, err
	}
	covered := at == e.Start && end >= e.Start+e.Length
	return e, at - e.Start, i.take(n, covered)
}

func (i *Image) find(at int64) int {
	all := i.body.entries
	return sort.Search(len(all), func(n int) bool { return all[n].Start+all[n].Length > at })
}

// take brings a piece's present bytes into the hand, unless all of them are going to be written.
func (i *Image) take(n int, covered bool) error {
	e := i.body.entries[n]
	i.buf = i.t.s.buffers.get(int(e.Length))[:e.Length]
	i.hand, i.touched[n] = n, true
	if covered {
		i.replaced(n)
		return nil
	}
	if i.tail != nil && n == len(i.body.entries)-1 {
		copy(i.buf, i.tail)
		i.replaced(n)
		return nil
	}
	zero, err := i.t.s.zero(int(e.Length))
	if err != nil {
		return err
	}
	if e.Object == zero { // which may not be in the store yet
		clear(i.buf)
		return nil
	}
	data, err := i.inherited(e)
	if err != nil {
		return err
	}
	copy(i.buf, data)
	return nil
}

// inherited reads a piece that the image began with.
func (i *Image) inherited(e object.IndirectObjectEntry) ([]byte, error) {
	data, err := i.t.s.v.read(i.t.s.ctx, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stream.ErrBase, err)
	}
	return data, nil
}

// replaced forgets what is left of a shorter last piece once piece n is written otherwise.
func (i *Image) replaced(n int) {
	if n == len(i.body.entries)-1 {
		i.tail = nil
	}
}

// flush sends the piece in hand off.
func (i *Image) flush() error {
	if i.hand < 0 {
		return nil
	}
	n, data := i.hand, i.buf
	i.hand, i.buf = -1, nil
	return i.t.s.submit(i.body, func() int { return i.body.replace(n) }, data, smallCompressor)
}

// Changed returns, after Close, the pieces that hold something else than the parent, or than zeros. It waits until all
// pieces are in the vault.
func (i *Image) Changed() ([]Extent, error) {
	id, err := i.body.wait()
	if err != nil {
		return nil, err
	}
	entries, err := contentsOf(i.t.s.w).entries(i.t.s.ctx, id, i.body.length())
	if err != nil {
		return nil, err
	}
	var all []Extent
	for n, e := range entries {
		if n >= len(i.was) || i.was[n].Object != e.Object {
			all = append(all, Extent{Offset: e.Start, Length: e.Length})
		}
	}
	return all, nil
}

// Close ends the image and puts it into the tree.
func (i *Image) Close() error {
	if i.done {
		return nil
	}
	err := i.flush()
	if i.tail != nil && err == nil {
		i.hand, i.buf = len(i.body.entries)-1, i.tail
		err = i.flush()
	}
	if i.body.length() == 0 && err == nil { // every file has a piece, if an empty one
		err = i.t.s.send(i.body, nil, smallCompressor)
	}
	if i.left > 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes of the last extent are missing", i.left))
	}
	if err != nil {
		i.Abort()
		return err
	}
	return i.keep()
}
