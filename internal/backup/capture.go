package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

// progressEvery is how often a component tells how far it is.
const progressEvery = 250 * time.Millisecond

// capture streams one component and records how it ended.
func (r *run) capture(ctx context.Context, j job) {
	t := j.task
	if t.Mode == point.Unchanged {
		r.takeOver(ctx, t)
		return
	}
	r.emit(event.Event{Kind: event.Started, Source: t.Source, Component: t.Name, Host: t.Host, Total: t.Estimate})
	started := r.Now()
	session := r.sessions[t.Source]
	var read atomic.Int64
	stop := r.tellProgress(t, &read)
	out, err := j.source.Capture(ctx, t, source.Sink{
		Tree:  session.Tree(t.Path),
		Image: func(o source.ImageOptions) (stream.Image, error) { return r.image(ctx, t, o) },
		Read:  func(n int64) { read.Add(n) },
		Note: func(text string) {
			r.emit(event.Event{Kind: event.Note, Source: t.Source, Component: t.Name, Text: text})
		},
	})
	c := component(t, started)
	if err == nil {
		err = proven(out)
	}
	if err == nil {
		c.BytesNew, err = finishTree(session, t.Path)
	}
	stop()
	c.BytesRead, c.Seconds = read.Load(), r.Now().Sub(started).Seconds()
	if err != nil {
		session.Drop(t.Path)
		c.State, c.Reason = point.ComponentFailed, reason(err)
		maps.Copy(c.Identity, out.Identity)
	} else {
		adopt(&c, out)
		amend(&c, t)
	}
	r.finish(c)
	r.captured(c)
}

// proven refuses an outcome that does not say how the capture's end was proven.
func proven(out source.Outcome) error {
	switch {
	case out.State != point.Good && out.State != point.ComponentPartial:
		return fmt.Errorf("the capture ended in state %q, which says nothing", out.State)
	case out.State == point.Good && len(out.Proof) == 0:
		return errors.New("the capture ended without a proof of its end")
	}
	return nil
}

// finishTree waits until a component's tree is in the vault and returns how many bytes of it are new there.
func finishTree(session *vault.Session, path string) (int64, error) {
	w, err := session.Finish(path)
	if err == nil && w.Files == 0 {
		err = errors.New("the capture ended without a single file")
	}
	return w.NewBytes, err
}

// adopt takes what a capture proved into the component.
func adopt(c *point.Component, out source.Outcome) {
	c.State, c.Notes = out.State, out.Notes
	if out.Mode == point.Full {
		c.Mode, c.Parent = out.Mode, ""
	}
	maps.Copy(c.Identity, out.Identity)
	maps.Copy(c.Proof, out.Proof)
	if out.Reason != "" {
		c.Reason = out.Reason
	}
	if !out.At.IsZero() {
		at := out.At.UTC()
		c.At = &at
	}
}

// amend adds what was found of a component beside its capture.
func amend(c *point.Component, t source.Task) {
	maps.Copy(c.Identity, t.Identity)
	maps.Copy(c.Proof, t.Proof)
	for _, m := range []map[string]any{c.Identity, c.Proof} {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	}
	c.Notes = append(c.Notes, t.Notes...)
}

// takeOver makes an unchanged component of an earlier point part of this one, without reading it.
func (r *run) takeOver(ctx context.Context, t source.Task) {
	c := component(t, r.Now())
	earlier, err := r.adoptFrom(ctx, t)
	if err != nil {
		c.State, c.Reason = point.ComponentFailed, reason(err)
	} else {
		c.State, c.At = point.Good, earlier.At
		if !t.At.IsZero() {
			at := t.At.UTC()
			c.At = &at
		}
		maps.Copy(c.Identity, earlier.Identity)
		maps.Copy(c.Proof, earlier.Proof)
		amend(&c, t)
	}
	r.finish(c)
}

func (r *run) adoptFrom(ctx context.Context, t source.Task) (point.Component, error) {
	earlier, entry, err := r.earlier.copy(ctx, t)
	if err != nil {
		return earlier, err
	}
	return earlier, r.sessions[t.Source].Adopt(t.Path, entry)
}

// image begins a component that is a block image.
func (r *run) image(ctx context.Context, t source.Task, o source.ImageOptions) (stream.Image, error) {
	options := vault.ImageOptions{Size: o.Size, Block: o.Block, Head: o.Head, HeadBlock: cmp.Or(o.HeadBlock, vault.BlockSize(o.HeadSize))}
	if o.Base.Component != "" {
		t.Parent, t.Name, o.Parent = o.Base.Point, o.Base.Component, true
	}
	if o.Parent {
		_, entry, err := r.earlier.copy(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", stream.ErrBase, err)
		}
		options.Parent = entry
	}
	return r.sessions[t.Source].Image(t.Path, stream.Meta{Mode: 0o600, ModTime: r.Now()}, options)
}

// tellProgress emits progress events until the returned function is called, and none after it.
func (r *run) tellProgress(t source.Task, read *atomic.Int64) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				r.emit(event.Event{Kind: event.Progress, Source: t.Source, Component: t.Name, Bytes: read.Load(), Total: t.Estimate})
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// component begins the record of a task. What is not known yet is empty and not null: other programs read it.
func component(t source.Task, started time.Time) point.Component {
	return point.Component{
		Source: t.Source, Name: t.Name, Kind: t.Kind, Mode: t.Mode, Required: t.Required,
		Reason: t.Reason, Host: t.Host, Path: t.Path, Parent: t.Parent, Started: started.UTC(),
		Identity: map[string]any{}, Proof: map[string]any{},
	}
}

// fail records a task that ended before it began.
func (r *run) fail(t source.Task, err error) {
	c := component(t, r.Now())
	c.State, c.Reason = point.ComponentFailed, reason(err)
	r.finish(c)
}

func (r *run) finish(c point.Component) {
	r.record(c)
	r.told(c)
}

func (r *run) told(c point.Component) {
	r.emit(event.Event{
		Kind: event.Finished, Source: c.Source, Component: c.Name, Host: c.Host, State: string(c.State),
		Bytes: c.BytesRead, New: c.BytesNew, Seconds: c.Seconds, Text: c.Reason,
	})
}

// reason is an error's text with its hint, for the manifest.
func reason(err error) string {
	if hint := problem.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}
