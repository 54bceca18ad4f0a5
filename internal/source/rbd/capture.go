package rbd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream"
	"holdfast/internal/stream/rbddiff"
)

// Capture reads what a snapshot holds, or how it differs from the one before, and then makes sure that the snapshot was
// there all the time.
func (s *Source) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	i := s.image(t.Name)
	info, err := i.pool.cluster.Info(ctx, i.spec().At(i.snapshot.Name))
	if err != nil {
		return source.Outcome{}, err
	}
	if info.ID != i.ID {
		return source.Outcome{}, fmt.Errorf("image %s is not the one that was planned: its id is %s and was %s", i.spec(), info.ID, i.ID)
	}
	export := cephcmd.Export{Spec: i.spec().At(i.snapshot.Name), From: i.from, Ops: i.pool.Ops}
	if export.Precise, err = i.precision(ctx, info); err != nil {
		return source.Outcome{}, err
	}
	dst, err := sink.Image(i.options())
	if err != nil {
		return source.Outcome{}, err
	}
	defer dst.Abort()
	var sum counts
	err = i.pool.cluster.ExportDiff(ctx, export, func(r io.Reader) error { return i.read(r, dst, sink.Read, &sum) })
	if err != nil {
		return source.Outcome{}, err
	}
	if err := i.pool.cluster.Held(ctx, i.pool.Name, i.ID, i.snapshot); err != nil {
		return source.Outcome{}, err
	}
	if err := dst.Close(); err != nil {
		return source.Outcome{}, err
	}
	return source.Outcome{State: point.Good, Identity: s.identity(i, info).facts(), Proof: sum.proof(i), At: i.at}, nil
}

// options are how the vault is to hold the image. A clone is cut as its parent as far as the two may be alike, so that the
// vault holds once what both hold.
func (i *image) options() source.ImageOptions {
	o := source.ImageOptions{Size: i.snapshot.Size, Block: i.pool.Piece, Parent: i.from != ""}
	if i.Parent == nil {
		return o
	}
	for n := range i.pool.source.planned {
		p := &i.pool.source.planned[n]
		if p.cluster != i.pool.cluster || p.Name != i.Parent.Pool {
			continue
		}
		for _, above := range p.images {
			if snap, ok := above.Snapshot(i.Parent.Snapshot); ok && above.Name == i.Parent.Image {
				o.Head, o.HeadSize, o.HeadBlock = snap.Size, snap.Size, p.Piece
			}
		}
	}
	return o
}

// To ask for the extents within each object takes time for every object of the image, to read whole objects for those that
// changed. An object's worth of reading takes as long as asking this many.
const askedPerRead = 100

// precision is the one that gets the difference sooner.
func (i *image) precision(ctx context.Context, info cephcmd.Info) (cephcmd.Precision, error) {
	if !info.Has("fast-diff") || len(info.Flags) > 0 {
		return cephcmd.Extents, nil
	}
	changed, err := i.pool.cluster.Changed(ctx, i.spec().At(i.snapshot.Name), i.from, cephcmd.Objects)
	if err != nil {
		return cephcmd.Extents, err
	}
	var bytes int64
	for _, e := range changed {
		bytes += e.Length
	}
	return bytes*askedPerRead < i.snapshot.Size, nil
}

// counts is what a stream brought.
type counts struct{ stream, data, zero, extents int64 }

func (c counts) proof(i *image) map[string]any {
	return map[string]any{
		"stream": "ended", "stream_bytes": c.stream, "extents": c.extents, "data_bytes": c.data, "zero_bytes": c.zero,
		"size": i.snapshot.Size, "snapshot": "there after the last byte",
	}
}

// read lays a stream over the image.
func (i *image) read(r io.Reader, dst stream.Image, told func(int64), sum *counts) error {
	d, err := rbddiff.NewReader(&counted{r, told})
	if err != nil {
		return err
	}
	if want := (rbddiff.Header{From: i.from, To: i.snapshot.Name, Size: i.snapshot.Size}); d.Header() != want {
		return fmt.Errorf("the stream is %+v and was to be %+v", d.Header(), want)
	}
	for {
		e, err := d.Next()
		if errors.Is(err, io.EOF) {
			sum.stream = d.Offset()
			return nil
		}
		if err != nil {
			return err
		}
		sum.extents++
		if e.Zero {
			sum.zero += e.Length
			err = dst.Zero(e.Offset, e.Length)
		} else {
			sum.data += e.Length
			if err = dst.Next(e.Offset, e.Length); err == nil {
				_, err = io.Copy(dst, d)
			}
		}
		if err != nil {
			return err
		}
	}
}

type counted struct {
	io.Reader
	told func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.told(int64(n))
	return n, err
}
