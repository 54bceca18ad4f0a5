package restore

import (
	"bytes"
	"errors"
	"io"

	"holdfast/internal/stream/rbddiff"
	"holdfast/internal/vault"
)

// comparison compares a stream of rbd export-diff with a copy in the vault.
type comparison struct {
	file      *vault.File
	data      []vault.Extent // of the file, that are not zeros
	from      string         // the snapshot that the stream begins with; "" when what it leaves out is zeros
	different []vault.Extent // ascending
	end       int64          // of what was compared
	buf, want []byte
}

// compareAtOnce is how many bytes are compared at once, and the precision of what differs.
const compareAtOnce = 64 << 10

func newComparison(c imageCopy) *comparison {
	return &comparison{file: c.file, data: c.extents, buf: make([]byte, compareAtOnce), want: make([]byte, compareAtOnce)}
}

func (c *comparison) read(r io.Reader) error {
	d, err := rbddiff.NewReader(r)
	if err != nil {
		return err
	}
	for {
		e, err := d.Next()
		if errors.Is(err, io.EOF) {
			return c.skip(c.file.Size())
		}
		if err != nil {
			return err
		}
		if err := c.skip(e.Offset); err != nil {
			return err
		}
		if err := c.extent(d, e); err != nil {
			return err
		}
	}
}

// skip deals with what the stream left out: it is as it was, or zeros.
func (c *comparison) skip(to int64) error {
	to = min(to, c.file.Size())
	if c.from != "" {
		c.end = max(c.end, to)
		return nil
	}
	return c.zeros(to)
}

// zeros compares up to an offset with zeros, and reads nothing of the copy.
func (c *comparison) zeros(to int64) error {
	if to > c.end {
		c.different = append(c.different, intersect(c.data, []vault.Extent{{Offset: c.end, Length: to - c.end}})...)
		c.end = to
	}
	return nil
}

// extent compares what the stream brings.
func (c *comparison) extent(d *rbddiff.Reader, e rbddiff.Extent) error {
	clear(c.buf)
	for at := e.Offset; at < e.End(); {
		n := min(int64(len(c.buf)), e.End()-at)
		if !e.Zero {
			if _, err := io.ReadFull(d, c.buf[:n]); err != nil {
				return err
			}
		}
		if err := c.part(at, c.buf[:n]); err != nil {
			return err
		}
		at += n
	}
	c.end = e.End()
	return nil
}

func (c *comparison) part(at int64, got []byte) error {
	n := min(int64(len(got)), c.file.Size()-at) // what lies beyond is cut off
	if n <= 0 {
		return nil
	}
	if _, err := c.file.ReadAt(c.want[:n], at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(c.want[:n], got[:n]) {
		c.different = append(c.different, vault.Extent{Offset: at, Length: n})
	}
	return nil
}
