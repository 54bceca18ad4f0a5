package rbddiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Writer writes a stream for rbd import-diff. Extents ascend, as they do in what rbd writes.
type Writer struct {
	w    io.Writer
	size int64
	end  int64 // of the last extent
	left int64 // bytes of the present extent that are still to be written
}

// NewWriter writes the stream's header. It never closes w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	b := []byte(banner)
	if h.From != "" {
		b = appendName(b, tagFrom, h.From)
	}
	if h.To != "" {
		b = appendName(b, tagTo, h.To)
	}
	b = binary.LittleEndian.AppendUint64(append(b, tagSize), uint64(h.Size))
	_, err := w.Write(b)
	return &Writer{w: w, size: h.Size}, err
}

func appendName(b []byte, tag byte, name string) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, tag), uint32(len(name)))
	return append(b, name...)
}

// Next begins an extent. Unless it is of zeros, its bytes are then written with Write.
func (w *Writer) Next(e Extent) error {
	switch {
	case w.left > 0:
		return fmt.Errorf("%d bytes of the extent before %d are missing", w.left, e.Offset)
	case e.Length <= 0, e.Offset < w.end, e.End() > w.size:
		return fmt.Errorf("extent of %d bytes at %d after %d in an image of %d", e.Length, e.Offset, w.end, w.size)
	}
	tag := byte(tagZero)
	if !e.Zero {
		tag, w.left = tagData, e.Length
	}
	w.end = e.End()
	b := binary.LittleEndian.AppendUint64([]byte{tag}, uint64(e.Offset))
	_, err := w.w.Write(binary.LittleEndian.AppendUint64(b, uint64(e.Length)))
	return err
}

// Left is how many bytes of the present extent are still to be written.
func (w *Writer) Left() int64 { return w.left }

// Write writes bytes of the present extent.
func (w *Writer) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, errors.New("more bytes than the extent has")
	}
	n, err := w.w.Write(p)
	w.left -= int64(n)
	return n, err
}

// Close writes the record that ends the stream, if it is whole.
func (w *Writer) Close() error {
	if w.left > 0 {
		return fmt.Errorf("%d bytes of the last extent are missing", w.left)
	}
	_, err := w.w.Write([]byte{tagEnd})
	return err
}
