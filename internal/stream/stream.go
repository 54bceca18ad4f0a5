// Package stream says what the wire formats below it are parsed into: a tree of files that grows while the stream
// runs. The parsers know nothing of vaults and the vault nothing of formats; both know these few types.
package stream

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// Meta is what a tree keeps of a file beside its bytes. Mode holds permission, setuid, setgid and sticky bits; the
// kind of entry follows from the call that makes it.
type Meta struct {
	Mode    fs.FileMode
	UID     uint32
	GID     uint32
	ModTime time.Time
}

// Hint tells a tree how the bytes of a file change from one backup to the next, so that it can cut them well.
type Hint int

const (
	Plain Hint = iota // text, configuration, dumps: cut by content
	Pages             // database pages, changed in place: cut at fixed offsets, a multiple of the page
)

// Tree receives the files of one component. Paths are relative, slash-separated and clean; parents are made as needed.
// It is safe for concurrent use, and several files may be open at once. A path that is created again replaces the
// earlier file once the new one is closed.
type Tree interface {
	Mkdir(path string, m Meta) error
	// Create starts a file. It is part of the tree only after Close returned nil.
	Create(path string, m Meta, h Hint) (File, error)
	Symlink(path, target string, m Meta) error
	// Rename moves a file or directory, finished or still open; what stood at to is replaced.
	Rename(from, to string) error
	// Remove takes a file or an empty directory away, finished or still open.
	Remove(path string) error
}

// File is written from its start to its end.
type File interface {
	io.WriteCloser
	// Skip leaves n zero bytes, at little cost.
	Skip(n int64) error
	// Abort gives the file up; Close after it is a no-op.
	Abort()
}

// Extent is a range of an image or a file, in bytes.
type Extent struct{ Offset, Length int64 }

// End is the first byte after the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// Piece is a part of an image as it is stored.
type Piece struct {
	Extent
	Zero bool // all of it
}

// ErrBase means that what an image held before cannot be read, so that nothing can be laid over it.
var ErrBase = errors.New("what the image held before cannot be read")

// Image is a block image that is being written: what it held before, or zeros, and on it extents in ascending order.
type Image interface {
	// Next begins an extent, whose bytes are then written with Write.
	Next(offset, length int64) error
	io.Writer
	// Zero writes an extent of zeros.
	Zero(offset, length int64) error
	// Kept returns the pieces that no extent has touched yet, ascending, and ReadKept what the image holds of one of them.
	Kept() []Piece
	ReadKept(p Piece) ([]byte, error)
	// Close ends the image, if all of its extents are whole. It is part of the tree only after that returned nil.
	Close() error
	// Changed returns, after Close, the pieces that hold something else than before, one by one and ascending.
	Changed() ([]Extent, error)
	// Abort gives the image up; Close after it is a no-op.
	Abort()
}
