package host

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// outputCap is how many bytes Output takes at most.
const outputCap = 64 << 20

// Run runs c at h and discards what it writes to stdout.
func Run(ctx context.Context, h Host, c Cmd) error {
	return Stream(ctx, h, c, func(io.Reader) error { return nil })
}

// Output runs c at h and returns what it wrote to stdout, at most 64 MiB: more is an error.
func Output(ctx context.Context, h Host, c Cmd) ([]byte, error) {
	var out []byte
	err := Stream(ctx, h, c, func(r io.Reader) (err error) {
		out, err = io.ReadAll(io.LimitReader(r, outputCap+1))
		if err == nil && len(out) > outputCap {
			err = fmt.Errorf("output of %s on %s is larger than %d bytes", programName(c), h, outputCap)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Stream runs c at h and hands its stdout to fn. What fn leaves unread is discarded. If fn fails while the command still
// runs, the command is killed and fn's error returned; if the stream had come to its end, the command's own failure comes
// first, because it is why fn failed.
func Stream(ctx context.Context, h Host, c Cmd, fn func(io.Reader) error) error {
	p, err := h.Start(ctx, c)
	if err != nil {
		return err
	}
	ferr := fn(p.Stdout())
	if ferr == nil {
		return p.Wait()
	}
	if p.stdout.err == nil {
		p.Kill()
	}
	werr := p.Wait()
	if werr == nil || errors.Is(werr, errKilled) {
		return ferr
	}
	if errors.Is(ferr, io.ErrUnexpectedEOF) || errors.Is(werr, ferr) {
		return werr
	}
	return errors.Join(werr, ferr)
}
