// Package tree reads the tar stream of a remote tar into a tree of files, and keeps beside it what the tree cannot
// hold: hard links, extended attributes, ACLs, device files, and names that are not UTF-8.
//
// The far side runs GNU tar with
//
//	--format=posix --numeric-owner --xattrs --xattrs-include=* --acls --selinux --sparse
//
// and whatever tar understands by these is understood here.
package tree

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"holdfast/internal/stream"
)

// Options says how a stream is read.
type Options struct {
	// Read, if set, is told how many more bytes of the stream were used.
	Read func(n int64)
}

// Summary counts what a stream held.
type Summary struct {
	Bytes    int64 // of the stream
	Payload  int64 // of the files' contents
	Files    int
	Dirs     int
	Symlinks int
	Root     *stream.Meta // of the directory that the paths are relative to, if the stream tells
	Extra    Meta         // what the tree does not hold; to be written as MetaName
}

// Error says where in the stream and at which entry the trouble is.
type Error struct {
	Offset int64
	Path   string // "" before the first entry
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("read tar at byte %d, entry %q: %v", e.Offset, e.Path, e.Err)
}

// Unwrap returns the cause; io.ErrUnexpectedEOF for a stream that was cut.
func (e *Error) Unwrap() error { return e.Err }

// Extract reads a whole tar stream into dst. A stream without the two blocks that end every archive was cut and is an
// error, as is anything but zeros behind them. After an error, what dst holds must be given up as a whole.
func Extract(ctx context.Context, r io.Reader, dst stream.Tree, o Options) (Summary, error) {
	in := &input{r: bufio.NewReaderSize(r, bufferSize), ctx: ctx, read: o.Read}
	x := &extractor{in: in, tar: tar.NewReader(in), dst: dst, buf: make([]byte, bufferSize), kinds: map[string]byte{}, extra: map[string]*Entry{}}
	err := x.run()
	x.sum.Bytes = in.offset
	x.sum.Extra = collect(x.extra)
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return x.sum, err
	}
	return x.sum, &Error{Offset: in.offset, Path: x.path, Err: err}
}

const bufferSize = 256 << 10

// input counts what is read and remembers whether the archive's reader ever saw its end.
type input struct {
	r      *bufio.Reader
	ctx    context.Context
	read   func(int64)
	offset int64
	ended  bool
}

func (in *input) Read(p []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := in.r.Read(p)
	in.offset += int64(n)
	in.ended = in.ended || err == io.EOF
	if in.read != nil && n > 0 {
		in.read(int64(n))
	}
	return n, err
}

type extractor struct {
	in    *input
	tar   *tar.Reader
	dst   stream.Tree
	buf   []byte
	path  string
	kinds map[string]byte   // type of every entry, to refuse paths that lead through something else than directories
	extra map[string]*Entry // by path
	sum   Summary
}

func (x *extractor) run() error {
	for {
		h, err := x.tar.Next()
		if err == io.EOF {
			return x.finish()
		}
		if err != nil {
			return err
		}
		x.path = h.Name
		if err := x.entry(h); err != nil {
			return err
		}
	}
}

// finish makes sure that the archive has an end of its own: archive/tar also takes the end of its input for one.
func (x *extractor) finish() error {
	if x.in.ended {
		return fmt.Errorf("the archive has no end: %w", io.ErrUnexpectedEOF)
	}
	for {
		n, err := x.in.Read(x.buf)
		if !zero(x.buf[:n]) {
			return errors.New("something follows the end of the archive")
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if x.in.offset%512 != 0 {
		return fmt.Errorf("the archive ends inside a block: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

func zero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[:len(p)-1], p[1:])
}

func (x *extractor) entry(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	m, err := metaOf(h)
	if err != nil {
		return err
	}
	p, err := x.place(h)
	if err != nil {
		return err
	}
	if p == "." {
		x.sum.Root = &m
		x.keepAttributes(p, h)
		return nil
	}
	x.keepAttributes(p, h)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return x.file(p, m, h)
	case tar.TypeDir:
		x.sum.Dirs++
		return x.dst.Mkdir(p, m)
	case tar.TypeSymlink:
		x.sum.Symlinks++
		return x.dst.Symlink(p, h.Linkname, m)
	case tar.TypeLink:
		return x.link(p, m, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		x.at(p).Device = deviceOf(h, m)
		return nil
	}
	return fmt.Errorf("unknown type %q", h.Typeflag)
}

func metaOf(h *tar.Header) (stream.Meta, error) {
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > math.MaxUint32 || int64(h.Gid) > math.MaxUint32 {
		return stream.Meta{}, fmt.Errorf("owner %d:%d is not legal", h.Uid, h.Gid)
	}
	const kept = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return stream.Meta{Mode: h.FileInfo().Mode() & kept, UID: uint32(h.Uid), GID: uint32(h.Gid), ModTime: h.ModTime}, nil
}

// file copies the content; pieces of zeros become holes.
func (x *extractor) file(p string, m stream.Meta, h *tar.Header) error {
	f, err := x.dst.Create(p, m, stream.Plain)
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	if err := x.copy(f, h.Size); err != nil {
		f.Abort()
		return err
	}
	x.sum.Files++
	x.sum.Payload += h.Size
	if err := f.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	return nil
}

func (x *extractor) copy(f stream.File, size int64) error {
	for left := size; left > 0; {
		if err := x.in.ctx.Err(); err != nil {
			return err // a sparse file may be long without any reading
		}
		piece := x.buf[:min(left, bufferSize)]
		if _, err := io.ReadFull(x.tar, piece); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		left -= int64(len(piece))
		if zero(piece) {
			if err := f.Skip(int64(len(piece))); err != nil {
				return fmt.Errorf("skip in file: %w", err)
			}
		} else if _, err := f.Write(piece); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	return nil
}
