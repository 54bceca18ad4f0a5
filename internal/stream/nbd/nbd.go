// Package nbd reads from a server of the Network Block Device protocol, fixed newstyle, over any pair of streams. It asks
// for many ranges at once, so that a connection that answers late costs its delay once and not once for each.
package nbd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/stream"
)

// Numbers of the protocol; all are sent with their highest byte first.
const (
	magic       = 0x4e42444d41474943 // of a server
	optionMagic = 0x49484156454f5054 // of a server that lets options be chosen, and of each option
	answerMagic = 0x0003e889045565a9 // of what it says to an option
	askMagic    = 0x25609513
	replyMagic  = 0x67446698

	fixedNewstyle = 1 << 0 // handshake flags
	noZeroes      = 1 << 1

	optGo      = 7
	repAck     = 1
	repInfo    = 3
	repError   = 1 << 31
	infoExport = 0

	cmdRead       = 0
	cmdDisconnect = 2
)

// What bounds a server that talks nonsense, in bytes.
const (
	mostSaid = 4 << 10
	mostRead = 32 << 20 // that a server must answer to in one piece
)

// Client is a connection to one export. It is not safe for concurrent use.
type Client struct {
	r    *bufio.Reader
	w    io.Writer
	size int64
}

// New greets the server and opens an export; "" is its default one.
func New(r io.Reader, w io.Writer, export string) (*Client, error) {
	c := &Client{r: bufio.NewReader(r), w: w}
	if err := c.greet(export); err != nil {
		return nil, fmt.Errorf("greet the NBD server: %w", cut(err))
	}
	if err := c.opened(); err != nil {
		return nil, fmt.Errorf("open export %q: %w", export, cut(err))
	}
	return c, nil
}

// Size is the export's size in bytes.
func (c *Client) Size() int64 { return c.size }

func (c *Client) greet(export string) error {
	var hello struct {
		Magic, Options uint64
		Flags          uint16
	}
	if err := binary.Read(c.r, binary.BigEndian, &hello); err != nil {
		return err
	}
	if hello.Magic != magic || hello.Options != optionMagic || hello.Flags&fixedNewstyle == 0 {
		return errors.New("it speaks another protocol")
	}
	var b bytes.Buffer
	put(&b, uint32(hello.Flags&(fixedNewstyle|noZeroes)), uint64(optionMagic), uint32(optGo), uint32(4+len(export)+2), uint32(len(export)))
	b.WriteString(export)
	put(&b, uint16(0)) // asks for no more than what must be told
	_, err := c.w.Write(b.Bytes())
	return err
}

// opened reads what the server says to the wish for an export.
func (c *Client) opened() error {
	c.size = -1
	for {
		var head struct {
			Magic                uint64
			Option, Kind, Length uint32
		}
		if err := binary.Read(c.r, binary.BigEndian, &head); err != nil {
			return err
		}
		if head.Magic != answerMagic || head.Option != optGo || head.Length > mostSaid {
			return errors.New("the answer makes no sense")
		}
		said := make([]byte, head.Length)
		if _, err := io.ReadFull(c.r, said); err != nil {
			return err
		}
		switch {
		case head.Kind&repError != 0:
			return fmt.Errorf("refused with %#x: %q", head.Kind, said)
		case head.Kind == repAck && c.size < 0:
			return errors.New("its size was not told")
		case head.Kind == repAck:
			return nil
		case head.Kind == repInfo && len(said) >= 12 && binary.BigEndian.Uint16(said) == infoExport:
			c.size = int64(binary.BigEndian.Uint64(said[2:]))
		}
	}
}

// Read asks for all ranges at once, and hands over the bytes of each, by its place in ranges, in the order in which they
// come. The bytes are valid until got returns.
func (c *Client) Read(ranges []stream.Extent, got func(n int, data []byte) error) error {
	var b bytes.Buffer
	largest := int64(0)
	for n, e := range ranges {
		if e.Offset < 0 || e.Length < 1 || e.Length > mostRead || e.End() > c.size {
			return fmt.Errorf("read %d bytes at %d of an export of %d", e.Length, e.Offset, c.size)
		}
		largest = max(largest, e.Length)
		put(&b, uint32(askMagic), uint16(0), uint16(cmdRead), uint64(n), uint64(e.Offset), uint32(e.Length))
	}
	if _, err := c.w.Write(b.Bytes()); err != nil {
		return err
	}
	answered, buf := make([]bool, len(ranges)), make([]byte, largest)
	for range ranges {
		n, err := c.reply(ranges, answered)
		if err != nil {
			return cut(err)
		}
		data := buf[:ranges[n].Length]
		if _, err := io.ReadFull(c.r, data); err != nil {
			return cut(err)
		}
		if err := got(n, data); err != nil {
			return err
		}
	}
	return nil
}

// reply reads the head of an answer and returns whose it is.
func (c *Client) reply(ranges []stream.Extent, answered []bool) (int, error) {
	var head struct {
		Magic, Error uint32
		Cookie       uint64
	}
	if err := binary.Read(c.r, binary.BigEndian, &head); err != nil {
		return 0, err
	}
	if head.Magic != replyMagic || head.Cookie >= uint64(len(ranges)) || answered[head.Cookie] {
		return 0, errors.New("the NBD server answers what was not asked")
	}
	n := int(head.Cookie)
	if head.Error != 0 {
		return 0, fmt.Errorf("read %d bytes at %d: the NBD server says error %d", ranges[n].Length, ranges[n].Offset, head.Error)
	}
	answered[n] = true
	return n, nil
}

// Close tells the server that nothing more is asked.
func (c *Client) Close() error {
	var b bytes.Buffer
	put(&b, uint32(askMagic), uint16(0), uint16(cmdDisconnect), uint64(0), uint64(0), uint32(0))
	_, err := c.w.Write(b.Bytes())
	return err
}

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		_ = binary.Write(b, binary.BigEndian, v) // of plain numbers, into memory
	}
}

// cut tells an end that comes too early for what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
