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
// there all the time. When the earlier copy turns out not to be readable, or not to be what it should, all of the image is
// read instead.
func (s *Source) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	i := s.image(t.Name)
	out, first := s.capture(ctx, i, sink)
	why := i.again(first)
	if why == "" || ctx.Err() != nil {
		return out, first
	}
	sink.Note(why)
	out, err := s.capture(ctx, i, sink)
	if err != nil {
		return source.Outcome{Identity: map[string]any{Doubt: why}}, err
	}
	out.Mode, out.Reason = point.Full, why
	if !errors.Is(first, stream.ErrBase) {
		out.Notes = append([]string{why}, out.Notes...)
	}
	return out, nil
}

// again says why an image is to be read in full after a capture ended with err, or "" if that would not help.
func (i *image) again(err error) string {
	var found *lie
	var base unshared
	var gone cephcmd.Removed
	switch {
	case errors.As(err, &base):
		why := "in full with what it has of its parent, since the vault's copy of that could not be built on: " + err.Error()
		i.above = nil
		return why
	case errors.As(err, &found):
		i.compare = true
		return "in full, since " + found.Error()
	case errors.As(err, &gone) && gone.Name == i.from:
		i.from, i.compare = "", false
		return "in full, since " + gone.Error()
	case errors.Is(err, stream.ErrBase):
		why := fmt.Sprintf("in full, since the copy in %s cannot be built on: %v", i.copy.From(), err)
		i.from, i.compare = "", false
		return why
	}
	return ""
}

func (s *Source) capture(ctx context.Context, i *image, sink source.Sink) (source.Outcome, error) {
	c := capture{image: i, sink: sink}
	c.base = c.shared()
	beside := c.sampling(ctx)
	defer beside.stop()
	defer c.abort()
	if err := c.export(ctx); err != nil {
		return source.Outcome{}, c.because(ctx, err)
	}
	wrong := c.blame(beside.compare(ctx, &c))
	if err := c.held(ctx); err != nil {
		return source.Outcome{}, err
	}
	if wrong != nil {
		return source.Outcome{}, wrong
	}
	err := c.dst.Close()
	if err != nil {
		return source.Outcome{}, err
	}
	out := source.Outcome{State: point.Good, Identity: s.identity(c.image).facts(), Proof: c.proof(), Notes: c.notes, At: c.at}
	if c.base != nil {
		out.Reason = c.base.why()
	}
	if c.compare {
		out.Notes, err = c.distrust(ctx)
	}
	return out, err
}

// export reads the snapshot, or what of it the vault does not hold.
func (c *capture) export(ctx context.Context) error {
	e := cephcmd.Export{Spec: c.spec().At(c.snapshot.Name), From: c.streamFrom(), Ops: c.pool.Ops}
	read := func(r io.Reader) error { return c.read(ctx, r) }
	if c.base != nil {
		return c.blame(c.pool.cluster.ExportOwn(ctx, e, c.base.parent, read))
	}
	var err error
	if e.Precise, err = c.sooner(ctx); err != nil {
		return err
	}
	return c.pool.cluster.ExportDiff(ctx, e, read)
}

// because tells of an export that failed that the snapshot it began with is gone, when it is.
func (c *capture) because(ctx context.Context, err error) error {
	if c.streamFrom() == "" {
		return err
	}
	var gone cephcmd.Removed
	if _, herr := c.pool.cluster.Held(ctx, c.pool.Name, c.ID, c.from); errors.As(herr, &gone) {
		return errors.Join(gone, err)
	}
	return err
}

// blame tells an error that another way of reading the image may not meet.
func (c *capture) blame(err error) error {
	if err == nil || c.base == nil {
		return err
	}
	return unshared{err}
}

// streamFrom is the snapshot that the stream begins with.
func (c *capture) streamFrom() string {
	if c.compare {
		return ""
	}
	return c.from
}

// capture is the reading of one image.
type capture struct {
	*image
	sink source.Sink
	base *above       // what is not read, since the vault holds it
	dst  stream.Image // once the stream told the image's size

	stream, data, zero, extents int64 // what the stream brought
	end                         int64 // of its last extent
	sampled                     int64 // bytes beside it that were read and found to be as before
	notes                       []string
}

func (c *capture) abort() {
	if c.dst != nil {
		c.dst.Abort()
	}
}

// held makes sure that the snapshot is there after the last byte, and is the one that was meant, and so the one that the stream begins
// with, which librbd asks all along where it tells the exact extents.
func (c *capture) held(ctx context.Context) error {
	meant, names := []cephcmd.Snapshot{c.snapshot}, []string{c.snapshot.Name}
	if from := c.streamFrom(); from != "" {
		meant, names = append(meant, c.fromSnapshot()), append(names, from)
	}
	found, err := c.pool.cluster.Held(ctx, c.pool.Name, c.ID, names...)
	if err != nil {
		return err
	}
	for n, was := range meant {
		if now := found[n]; was.ID != 0 && now.ID != was.ID {
			return fmt.Errorf("snapshot %s was made anew while it was read: its number is %d and was %d", now.Name, now.ID, was.ID)
		}
	}
	if found[0].Size != c.snapshot.Size {
		return fmt.Errorf("snapshot %s has %d bytes, and %d were read", found[0].Name, found[0].Size, c.snapshot.Size)
	}
	c.snapshot = found[0]
	return nil
}

// options are how the vault is to hold the image. A clone is cut as its parent as far as the two may be alike, so that the
// vault holds once what both hold.
func (c *capture) options() source.ImageOptions {
	i := c.image
	o := source.ImageOptions{Size: i.snapshot.Size, Block: i.pool.Piece, Parent: i.from != ""}
	if c.base != nil {
		o.Base = c.base.base()
	}
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

// sooner is the precision that gets the difference sooner.
func (c *capture) sooner(ctx context.Context) (cephcmd.Precision, error) {
	if c.compare || !c.info.Has("fast-diff") || len(c.info.Flags) > 0 {
		return cephcmd.Extents, nil
	}
	at := c.spec().At(c.snapshot.Name)
	if c.from != "" && c.image.precision(ctx, at) == cephcmd.Extents {
		return cephcmd.Extents, nil
	}
	bytes := c.changed
	if c.streamFrom() == "" {
		all, err := c.pool.cluster.Changed(ctx, at, "", cephcmd.Objects)
		if err != nil {
			return cephcmd.Extents, err
		}
		bytes = bytesOf(all)
	}
	return bytes*askedPerRead < c.Size, nil
}

// consistency of an image's copy: Glance's never change, all others are as after a power cut, each for itself.
func (i *image) consistency() string {
	if i.glances() {
		return "final"
	}
	return "crash"
}

func (c *capture) proof() map[string]any {
	shared := int64(0)
	if c.base != nil {
		shared = c.base.parent.Overlap
	}
	return map[string]any{
		"consistency": c.consistency(),
		"stream":      "ended", "stream_bytes": c.stream, "extents": c.extents, "data_bytes": c.data, "zero_bytes": c.zero,
		"size": c.snapshot.Size, "snapshot": "there after the last byte", "sampled_bytes": c.sampled, "shared_bytes": shared,
	}
}

// read lays a stream over the image.
func (c *capture) read(ctx context.Context, r io.Reader) error {
	d, err := rbddiff.NewReader(&metered{ctx, r, c.spend})
	if err != nil {
		return err
	}
	h := d.Header()
	if h.From != c.streamFrom() || h.To != c.snapshot.Name {
		return fmt.Errorf("the stream leads from %q to %q, and was to lead from %q to %q", h.From, h.To, c.streamFrom(), c.snapshot.Name)
	}
	c.snapshot.Size = h.Size
	if c.dst, err = c.sink.Image(c.options()); err != nil {
		return err
	}
	for {
		e, err := d.Next()
		if errors.Is(err, io.EOF) {
			c.stream = d.Offset()
			return c.hole(h.Size)
		}
		if err == nil {
			err = c.hole(e.Offset)
		}
		if err == nil {
			err = c.lay(d, e)
		}
		if err != nil {
			return err
		}
	}
}

// spend tells of bytes that were read, and waits until they are within the budgets.
func (c *capture) spend(ctx context.Context, n int) error {
	c.sink.Read(int64(n))
	if err := c.pool.budget.spend(ctx, n); err != nil {
		return err
	}
	return c.pool.source.budget.spend(ctx, n)
}

// hole makes zeros of what a stream of everything left out, where the image began with something else.
func (c *capture) hole(to int64) error {
	at := c.end
	c.end = to
	if !c.compare || to <= at {
		return nil
	}
	return c.dst.Zero(at, to-at)
}

func (c *capture) lay(d *rbddiff.Reader, e rbddiff.Extent) error {
	c.extents++
	c.end = e.End()
	if e.Zero {
		c.zero += e.Length
		return c.dst.Zero(e.Offset, e.Length)
	}
	c.data += e.Length
	if err := c.dst.Next(e.Offset, e.Length); err != nil {
		return err
	}
	_, err := io.Copy(c.dst, d)
	return err
}
