package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// How a command gets its input, as the supervisor is told.
const (
	feedFramed = "framed" // in frames, between the heartbeats
	feedDirect = "direct" // by a pipe of its own, which it and the supervisor inherit
)

const (
	heartbeat = 10 * time.Second
	patience  = 60 * time.Second
	feedFrame = 32 << 20 // bytes of input sent at once, which the far side passes on in blocks of 256 KiB

	firstFrame = 1 << 20

	inputEnd = "0\n" // says that all of the input was sent
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// header is what the supervisor reads before it starts the command. It travels over stdin alone, because it may hold
// a secret.
func header(c Cmd, nonce, feed string) ([]byte, error) {
	var b bytes.Buffer
	put := func(key, value string) {
		fmt.Fprintf(&b, "%s %d\n%s\n", key, 1+strings.Count(value, "\n"), value)
	}
	put("nonce", nonce)
	put("patience", strconv.Itoa(int(patience.Seconds())))
	for _, a := range c.Args {
		put("arg", a)
	}
	for _, e := range c.Env {
		if !envName.MatchString(e) || strings.HasPrefix(e, "hf_") {
			name, _, _ := strings.Cut(e, "=")
			return nil, fmt.Errorf("environment entry %q is not NAME=VALUE", name)
		}
		put("env", e)
	}
	if c.Dir != "" {
		put("dir", c.Dir)
	}
	if feed != "" {
		put("feed", feed)
	}
	if !c.Secret.Empty() {
		put("secret", c.Secret.Reveal())
	}
	b.WriteString("end 0\n")
	if bytes.IndexByte(b.Bytes(), 0) >= 0 {
		return nil, errors.New("arguments, environment, directory and secret cannot hold a zero byte")
	}
	return b.Bytes(), nil
}

// beat writes heartbeats until stop is closed or w takes no more. Every record is one Write, which os.File keeps
// whole, so that heartbeats and input never mix.
func beat(w io.Writer, stop <-chan struct{}) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := io.WriteString(w, ".\n"); err != nil {
				return
			}
		}
	}
}

// feed sends r as frames of "LENGTH\n" and that many bytes, and "0\n" after the last, without which the far side kills
// the command. It returns r's own error; that w takes no more is none, since the command's status tells why. The next frame is
// read while one is sent.
func feed(w io.Writer, r io.Reader) error {
	frames, stop, ended := make(chan []byte), make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(frames)
		ended <- cutFrames(r, func(frame []byte) bool {
			select {
			case frames <- frame:
				return true
			case <-stop:
				return false
			}
		})
	}()
	for frame := range frames {
		if _, err := w.Write(frame); err != nil {
			close(stop)
			return nil
		}
	}
	err := <-ended
	if err == nil {
		_, _ = io.WriteString(w, inputEnd)
	}
	return err
}

// pour sends r as it is, by a pipe of its own, and then lets the far side's end w know that it was whole. It returns what feed does.
func pour(w, pipe io.Writer, r io.Reader) error {
	in := &remembered{Reader: r}
	_, err := io.CopyBuffer(struct{ io.Writer }{pipe}, in, make([]byte, pipeSize/2))
	if err == nil {
		_, _ = io.WriteString(w, inputEnd)
	}
	return in.err
}

// remembered keeps what ended a reader too early.
type remembered struct {
	io.Reader
	err error
}

func (r *remembered) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// cutFrames reads r into frames, the first of them short because most input is. A frame is good until the next but one is asked for.
func cutFrames(r io.Reader, send func(frame []byte) bool) error {
	const room = 16 // for the length
	var bufs [2][]byte
	for i := 0; ; i++ {
		size := feedFrame
		if i == 0 {
			size = firstFrame
		}
		buf := bufs[i%2]
		if len(buf) < room+size {
			buf = make([]byte, room+size)
			bufs[i%2] = buf
		}
		n, err := io.ReadFull(r, buf[room:room+size])
		if n > 0 {
			prefix := strconv.Itoa(n) + "\n"
			start := room - copy(buf[room-len(prefix):], prefix)
			if !send(buf[start : room+n]) {
				return nil
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			return nil
		default:
			return err
		}
	}
}
