package vault

import (
	"io/fs"

	"github.com/kopia/kopia/repo/compression"

	"holdfast/internal/stream"
)

// Sizes of pieces in bytes, chosen by measurement: docs/design/vault.md has the table.
const (
	pagePiece   = 256 << 10
	zeroPiece   = 1 << 20 // of a hole in a plain file
	firstBuffer = 16 << 10
)

// file cuts what is written to it into pieces and hands them to the session's writers.
type file struct {
	writing
	cut *cutter // nil cuts every pagePiece bytes
	buf []byte  // the piece being filled
}

func newFile(t *Tree, full string, m stream.Meta, h stream.Hint) *file {
	f := &file{writing: writing{t: t, path: full, meta: m, body: newBody(t)}}
	if h != stream.Pages {
		f.cut = &cutter{}
	}
	return f
}

// Write takes p, in whole or with an error, and waits while the writers are behind.
func (f *file) Write(p []byte) (int, error) {
	if f.done {
		return 0, fs.ErrClosed
	}
	for rest := p; len(rest) > 0; {
		n, full := f.next(rest)
		f.fill(rest[:n])
		rest = rest[n:]
		if !full {
			continue
		}
		if err := f.flush(); err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

// next returns how much of p belongs to the current piece and whether the piece ends there.
func (f *file) next(p []byte) (n int, full bool) {
	if f.cut == nil {
		room := pagePiece - len(f.buf)
		return min(room, len(p)), len(p) >= room
	}
	return f.cut.next(p)
}

func (f *file) fill(p []byte) {
	if f.buf == nil {
		f.buf = f.t.s.buffers.get(f.expected(len(p)))
	}
	f.buf = append(f.buf, p...)
}

// expected guesses the piece's length: full once the file has a piece, else little, since most files are small.
func (f *file) expected(n int) int {
	switch {
	case f.cut == nil && (f.body.length() > 0 || n > firstBuffer):
		return pagePiece
	case f.cut != nil && f.body.length() > 0:
		return mostPlain
	}
	return max(n, firstBuffer)
}

// flush sends the current piece off.
func (f *file) flush() error {
	data := f.buf
	f.buf = nil
	return f.t.s.send(f.body, data, f.compressor())
}

// compressor is a thorough one for a file of one piece, as configuration is. What goes on comes in a stream, and must
// keep up with it.
func (f *file) compressor() compression.Name {
	if f.cut != nil && f.body.length() == 0 {
		return smallCompressor
	}
	return streamCompressor
}

// Skip leaves n zero bytes. Those that fill whole pieces cost an entry in the file's index each.
func (f *file) Skip(n int64) error {
	if f.done {
		return fs.ErrClosed
	}
	if n < 0 {
		return fs.ErrInvalid
	}
	size := int64(zeroPiece)
	if f.cut == nil {
		size = pagePiece
		head := min(n, (size-int64(len(f.buf)))%size)
		if err := f.zeros(head); err != nil {
			return err
		}
		n -= head
	}
	if n >= size {
		if err := f.holes(n/size, size); err != nil {
			return err
		}
	}
	return f.zeros(n % size)
}

// holes adds count pieces of size zero bytes.
func (f *file) holes(count, size int64) error {
	if len(f.buf) > 0 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	if f.cut != nil {
		f.cut.reset()
	}
	id, err := f.t.s.zero(int(size))
	if err != nil {
		return err
	}
	for range count {
		f.body.add(size, id)
	}
	return nil
}

func (f *file) zeros(n int64) error {
	for n > 0 {
		k := min(n, int64(len(zeroBytes)))
		if _, err := f.Write(zeroBytes[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// Close ends the file and puts it into the tree.
func (f *file) Close() error {
	if f.done {
		return nil
	}
	if len(f.buf) > 0 || f.body.length() == 0 {
		if err := f.flush(); err != nil {
			f.Abort()
			return err
		}
	}
	return f.keep()
}
