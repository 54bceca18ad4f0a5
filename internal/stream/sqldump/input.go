package sqldump

import (
	"bytes"
	"io"
)

const (
	bufferSize = 1 << 20
	maxLine    = 64 << 10 // of what is looked at as a whole: comments and the starts of statements
)

// input is the window of the dump that is in memory: buf[at:end] is yet to be looked at, buf[mark:at] is done but not
// yet handed on to take.
type input struct {
	r             io.Reader
	buf           []byte
	mark, at, end int
	base          int64 // offset of buf[0] in the dump
	err           error
	take          func(done []byte) error
}

func newInput(r io.Reader, take func([]byte) error) *input {
	return &input{r: r, buf: make([]byte, bufferSize), take: take}
}

func (in *input) offset() int64 { return in.base + int64(in.at) }

// window returns what is in memory, at least one byte unless the dump ended.
func (in *input) window() ([]byte, error) {
	if in.at == in.end {
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	return in.buf[in.at:in.end], nil
}

// need has n bytes in memory, or all that the dump still has.
func (in *input) need(n int) error {
	for in.end-in.at < n {
		if err := in.fill(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// line returns the rest of the current line with its newline, or its first maxLine bytes if it is longer.
func (in *input) line() ([]byte, error) {
	for seen := 0; ; {
		rest := in.buf[in.at:in.end]
		if i := bytes.IndexByte(rest[seen:], '\n'); i >= 0 {
			return rest[:seen+i+1], nil
		}
		if len(rest) >= maxLine {
			return rest[:maxLine], nil
		}
		seen = len(rest)
		if err := in.fill(); err == io.EOF && seen > 0 {
			return rest, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// flush hands on what is done.
func (in *input) flush() error {
	done := in.buf[in.mark:in.at]
	in.mark = in.at
	if len(done) == 0 {
		return nil
	}
	return in.take(done)
}

// fill reads more, after it has handed on what is done and moved the rest to the front.
func (in *input) fill() error {
	if in.err != nil {
		return in.err
	}
	if err := in.flush(); err != nil {
		return err
	}
	in.base += int64(in.at)
	in.end = copy(in.buf, in.buf[in.at:in.end])
	in.mark, in.at = 0, 0
	n, err := io.ReadAtLeast(in.r, in.buf[in.end:], 1)
	in.end += n
	if n == 0 {
		in.err = err
		return err
	}
	return nil
}
