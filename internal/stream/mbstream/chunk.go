package mbstream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"holdfast/internal/stream"
)

// The layout of a chunk, integers little endian:
//
//	magic (8) | flags (1) | type (1) | path length (4) | path | by type:
//	P  payload length (8) | offset in the file (8) | CRC-32 of the payload (4) | payload
//	E  nothing: the file ends        D  nothing: the file is removed
//	S  new offset in the file (8)    R  length (4) of the new path | new path
const (
	magic      = "XBSTCK01"
	headerSize = len(magic) + 1 + 1 + 4
	maxPath    = 512 // excluded

	flagIgnorable = 0x01 // a chunk of an unknown type, laid out as a payload, may be skipped
	flagRewrite   = 0x02 // the chunk starts a file anew that has already ended

	headerBuffer = 64 << 10
	pieceSize    = 1 << 20 // most bytes handed to the tree at once
)

// extractor is the state of one Extract. Its buffers are reused for every chunk.
type extractor struct {
	opts   Options
	dst    stream.Tree
	r      *bufio.Reader
	offset int64 // bytes of the stream used
	buf    []byte
	path   []byte // of the chunk at hand, in pathBuf
	header [headerSize]byte
	paths  [2][maxPath]byte
	open   map[string]*file
	ended  map[string]struct{}
	dirs   map[string]struct{}
	sum    Summary
}

// chunk reads and applies one chunk; io.EOF means that the stream ended before it.
func (x *extractor) chunk(ctx context.Context) error {
	x.path = nil
	n, err := io.ReadFull(x.r, x.header[:])
	x.offset += int64(n)
	if err != nil {
		return err // io.EOF only when nothing was read
	}
	if string(x.header[:len(magic)]) != magic {
		x.offset -= int64(n)
		return errors.New("this is no chunk of an mbstream: the magic number is wrong")
	}
	flags, kind := x.header[8], x.header[9]
	if flags&^(flagIgnorable|flagRewrite) != 0 {
		return fmt.Errorf("unknown chunk flags %#x", flags)
	}
	if x.path, err = x.readPath(x.paths[0][:], binary.LittleEndian.Uint32(x.header[10:])); err != nil {
		return err
	}
	switch kind {
	case 'P':
		return x.payload(ctx, flags&flagRewrite != 0)
	case 'E':
		return x.end(flags&flagRewrite != 0)
	case 'R':
		return x.rename()
	case 'D':
		return x.remove()
	case 'S':
		return x.seek()
	}
	if flags&flagIgnorable == 0 {
		return fmt.Errorf("unknown chunk type %q", kind)
	}
	return x.skip(ctx)
}

// full reads all of p or says that the stream was cut.
func (x *extractor) full(p []byte) error {
	n, err := io.ReadFull(x.r, p)
	x.offset += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readPath reads a path of n bytes into buf and refuses what does not name a file below the root of the tree.
func (x *extractor) readPath(buf []byte, n uint32) ([]byte, error) {
	if n == 0 || n >= maxPath {
		return nil, fmt.Errorf("a path of %d bytes is not legal", n)
	}
	p := buf[:n]
	if err := x.full(p); err != nil {
		return nil, err
	}
	p = bytes.TrimPrefix(p, []byte("./"))
	if _, known := x.open[string(p)]; known {
		return p, nil // was checked when it was opened
	}
	if name := string(p); name == "." || !fs.ValidPath(name) || bytes.IndexByte(p, 0) >= 0 {
		return nil, fmt.Errorf("illegal path %q", name)
	}
	return p, nil
}

type payloadHeader struct {
	size, offset uint64
	crc          uint32
}

func (x *extractor) readPayloadHeader() (payloadHeader, error) {
	b := x.buf[:20]
	if err := x.full(b); err != nil {
		return payloadHeader{}, err
	}
	h := payloadHeader{
		size:   binary.LittleEndian.Uint64(b),
		offset: binary.LittleEndian.Uint64(b[8:]),
		crc:    binary.LittleEndian.Uint32(b[16:]),
	}
	if h.size > 1<<62 || h.offset > 1<<62 {
		return h, fmt.Errorf("a payload of %d bytes at offset %d is not legal", h.size, h.offset)
	}
	return h, nil
}

func (x *extractor) payload(ctx context.Context, rewrite bool) error {
	h, err := x.readPayloadHeader()
	if err != nil {
		return err
	}
	f, err := x.file(rewrite)
	if err != nil {
		return err
	}
	if int64(h.offset) != f.position {
		return fmt.Errorf("payload for offset %d, but the file is at %d", h.offset, f.position)
	}
	if err := f.fill(h.size); err != nil {
		return err
	}
	x.sum.Payload += int64(h.size)
	f.position += int64(h.size)
	return x.copy(ctx, h, f.write)
}

// skip passes over an ignorable chunk of unknown type, which is laid out as a payload.
func (x *extractor) skip(ctx context.Context) error {
	h, err := x.readPayloadHeader()
	if err != nil {
		return err
	}
	return x.copy(ctx, h, func([]byte) error { return nil })
}

// copy hands the payload on piece by piece and compares its checksum at the end.
func (x *extractor) copy(ctx context.Context, h payloadHeader, write func([]byte) error) error {
	var crc uint32
	for left := h.size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := x.buf[:min(left, pieceSize)]
		if err := x.full(piece); err != nil {
			return err
		}
		crc = crc32.Update(crc, crc32.IEEETable, piece)
		if err := write(piece); err != nil {
			return err
		}
		left -= uint64(len(piece))
	}
	if crc != h.crc {
		return fmt.Errorf("the payload's checksum is %08x instead of %08x", crc, h.crc)
	}
	return nil
}
