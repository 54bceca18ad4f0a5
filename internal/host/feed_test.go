package host

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// unframe reads what feed wrote, and reports whether the input was said to have ended.
func unframe(t *testing.T, r io.Reader) (data []byte, ended bool) {
	t.Helper()
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return data, false
		}
		n, nerr := strconv.Atoi(strings.TrimSuffix(line, "\n"))
		if err != nil || nerr != nil {
			t.Fatalf("a frame begins with %q: %v", line, errors.Join(err, nerr))
		}
		if n == 0 {
			return data, true
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(b, frame); err != nil {
			t.Fatalf("a frame of %d bytes: %v", n, err)
		}
		data = append(data, frame...)
	}
}

func TestFeed(t *testing.T) {
	all := make([]byte, firstFrame+2*feedFrame+5)
	_, _ = rand.Read(all)
	broken := errors.New("the disk broke")
	for _, n := range []int{0, 1, firstFrame - 1, firstFrame, firstFrame + 1, firstFrame + feedFrame, len(all)} {
		for _, cut := range []error{nil, broken} {
			in := io.Reader(bytes.NewReader(all[:n]))
			if cut != nil {
				in = io.MultiReader(in, iotest.ErrReader(cut))
			}
			var out bytes.Buffer
			if err := feed(&out, in); !errors.Is(err, cut) {
				t.Errorf("%d bytes, then %v: %v", n, cut, err)
			}
			got, ended := unframe(t, &out)
			if !bytes.Equal(got, all[:n]) || ended != (cut == nil) {
				t.Errorf("%d bytes, then %v: %d other bytes arrive, ended %v", n, cut, len(got), ended)
			}
		}
	}
}

// TestFeedRefused feeds what takes some frames and no more: that is no error, and the input is not read on for ever.
func TestFeedRefused(t *testing.T) {
	in := &counted{}
	r, w := io.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, r, firstFrame+feedFrame)
		r.Close()
	}()
	if err := feed(w, in); err != nil {
		t.Error(err)
	}
	if n, most := in.n.Load(), int64(firstFrame+4*feedFrame); n > most {
		t.Errorf("%d bytes were read, at most %d are of use", n, most)
	}
}

// counted never ends.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}
