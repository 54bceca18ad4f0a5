package rbddiff

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Reader reads a stream extent by extent, as archive/tar reads an archive: Next moves to an extent, and Read returns its
// bytes. What Read was not asked for, Next passes over.
type Reader struct {
	r      *bufio.Reader
	header Header
	offset int64 // bytes of the stream that were used
	end    int64 // of the last extent, in the image
	left   int64 // bytes of the present extent that were not read
	err    error // of the first failure, or io.EOF; nothing is read after it
}

// readBuffer holds many records of small extents.
const readBuffer = 256 << 10

// NewReader reads the stream's header from r. It never closes r.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{r: bufio.NewReaderSize(r, readBuffer)}
	if err := d.readHeader(); err != nil {
		return nil, d.fail(err)
	}
	return d, nil
}

// Header returns what the stream says before its extents.
func (d *Reader) Header() Header { return d.header }

// Offset is how many bytes of the stream were used.
func (d *Reader) Offset() int64 { return d.offset }

func (d *Reader) readHeader() error {
	head := make([]byte, len(banner))
	if err := d.full(head); err != nil {
		return err
	}
	if string(head) != banner {
		return fmt.Errorf("%q is not the beginning of a diff of version 1", head)
	}
	for seen := ""; ; {
		tag, err := d.byte()
		if err != nil {
			return err
		}
		if err := d.headerField(tag, seen); err != nil {
			return err
		}
		if seen += string(tag); tag == tagSize {
			return nil
		}
	}
}

// headerField reads one of f, t and s; seen are those before it.
func (d *Reader) headerField(tag byte, seen string) (err error) {
	switch {
	case tag == tagFrom && seen == "":
		d.header.From, err = d.name()
	case tag == tagTo && (seen == "" || seen == string(rune(tagFrom))):
		d.header.To, err = d.name()
	case tag == tagSize:
		d.header.Size, err = d.number()
	default:
		err = fmt.Errorf("record %q where the image's size must come", tag)
	}
	return err
}

// Next moves to the next extent. It returns io.EOF after the record that ends the stream, and only if nothing follows
// it: a stream without that record was cut.
func (d *Reader) Next() (Extent, error) {
	if d.err != nil {
		return Extent{}, d.err
	}
	e, err := d.next()
	if err != nil {
		return Extent{}, d.fail(err)
	}
	d.end = e.End()
	if !e.Zero {
		d.left = e.Length
	}
	return e, nil
}

func (d *Reader) next() (Extent, error) {
	if err := d.pass(); err != nil {
		return Extent{}, err
	}
	tag, err := d.byte()
	if err != nil {
		return Extent{}, err
	}
	switch tag {
	case tagData, tagZero:
		return d.extent(tag == tagZero)
	case tagEnd:
		return Extent{}, d.finish()
	}
	return Extent{}, fmt.Errorf("record %q is none of an extent", tag)
}

func (d *Reader) extent(zero bool) (Extent, error) {
	at, err := d.number()
	if err != nil {
		return Extent{}, err
	}
	length, err := d.number()
	if err != nil {
		return Extent{}, err
	}
	switch {
	case length == 0:
		err = fmt.Errorf("extent at %d is empty", at)
	case at < d.end:
		err = fmt.Errorf("extent at %d comes after one that ends at %d", at, d.end)
	case at > d.header.Size || length > d.header.Size-at:
		err = fmt.Errorf("extent of %d bytes at %d in an image of %d", length, at, d.header.Size)
	}
	return Extent{at, length, zero}, err
}

// pass skips what is left of the present extent.
func (d *Reader) pass() error {
	for d.left > 0 {
		n, err := d.r.Discard(int(min(d.left, 1<<30)))
		d.offset += int64(n)
		d.left -= int64(n)
		if err != nil {
			return cut(err)
		}
	}
	return nil
}

// finish demands that the stream ends here.
func (d *Reader) finish() error {
	_, err := d.r.ReadByte()
	if err == nil {
		return errors.New("something follows the end")
	}
	return err
}

// Read reads the bytes of the present extent; it returns io.EOF at their end.
func (d *Reader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.r.Read(p[:min(int64(len(p)), d.left)])
	d.offset += int64(n)
	d.left -= int64(n)
	if err != nil && n == 0 {
		return 0, d.fail(cut(err))
	}
	return n, nil
}

func (d *Reader) byte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		return 0, cut(err)
	}
	d.offset++
	return b, nil
}

func (d *Reader) name() (string, error) {
	var n [4]byte
	if err := d.full(n[:]); err != nil {
		return "", err
	}
	length := binary.LittleEndian.Uint32(n[:])
	if length == 0 || length > nameLimit {
		return "", fmt.Errorf("a snapshot's name has %d bytes", length)
	}
	text := make([]byte, length)
	err := d.full(text)
	return string(text), err
}

// number reads an offset, a length or a size.
func (d *Reader) number() (int64, error) {
	var b [8]byte
	if err := d.full(b[:]); err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint64(b[:]))
	if n < 0 {
		return 0, fmt.Errorf("%d is too large for an offset or length", uint64(n))
	}
	return n, nil
}

func (d *Reader) full(p []byte) error {
	n, err := io.ReadFull(d.r, p)
	d.offset += int64(n)
	return cut(err)
}

// cut tells an end in the middle of something from a proper one.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fail keeps the first error.
func (d *Reader) fail(err error) error {
	if d.err == nil {
		if d.err = err; err != io.EOF {
			d.err = &Error{d.offset, err}
		}
	}
	return d.err
}
