package host

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// output reads a command's stdout up to the mark that the supervisor writes after it. The mark travels in the same
// ordered stream as the data, so that data cut short by a dying transport never looks complete, and data is complete
// even while something the command left behind still holds its stdout open.
type output struct {
	pipe *os.File
	mark []byte
	buf  []byte
	data []byte // read from the pipe, not yet handed out
	err  error  // io.EOF after the mark, io.ErrUnexpectedEOF after a cut
}

func newOutput(pipe *os.File, nonce string) *output {
	return &output{pipe: pipe, mark: []byte("\x1eholdfast " + nonce + " end\n"), buf: make([]byte, 256<<10)}
}

// Read implements io.Reader.
func (o *output) Read(p []byte) (int, error) {
	for {
		if n := copy(p, o.data[:o.sure()]); n > 0 || len(p) == 0 {
			o.data = o.data[n:]
			return n, nil
		}
		if o.err != nil {
			return 0, o.err
		}
		o.fill()
	}
}

// whole reports whether the mark was seen.
func (o *output) whole() bool { return o.err == io.EOF }

// sure is how much of data certainly comes before the mark.
func (o *output) sure() int {
	if o.err != nil {
		return len(o.data)
	}
	tail := max(0, len(o.data)-len(o.mark)+1)
	for {
		i := bytes.IndexByte(o.data[tail:], o.mark[0])
		if i < 0 {
			return len(o.data)
		}
		tail += i
		if bytes.HasPrefix(o.mark, o.data[tail:]) {
			return tail
		}
		tail++
	}
}

// fill reads once and looks for the mark.
func (o *output) fill() {
	kept := copy(o.buf, o.data)
	n, err := o.pipe.Read(o.buf[kept:])
	o.data = o.buf[:kept+n]
	if i := bytes.Index(o.data, o.mark); i >= 0 {
		o.data, o.err = o.data[:i], io.EOF
		return
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed):
		o.err = io.ErrUnexpectedEOF
	default:
		o.err = err
	}
}
