package rbd

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// atOnce is how many images are looked at or snapshotted at the same time.
const atOnce = 8

// Hold finds the images that did not change, and takes the snapshots of the others.
func (s *Source) Hold(ctx context.Context, run string, tasks []source.Task) []source.Held {
	held := make([]source.Held, len(tasks))
	each(len(tasks), func(n int) { held[n].Task = s.unchanged(ctx, tasks[n]) })
	each(len(tasks), func(n int) {
		if held[n].Task.Mode != point.Unchanged {
			held[n].Err = s.snap(ctx, run, s.image(tasks[n].Name))
		}
	})
	return held
}

func each(n int, do func(int)) {
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}

func (s *Source) image(component string) *image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[component]
}

// unchanged makes the task one that is taken over if the image holds what it held at our snapshot. An image that cannot be
// asked is captured; the trouble is met again there.
func (s *Source) unchanged(ctx context.Context, t source.Task) source.Task {
	i := s.image(t.Name)
	if t.Mode == point.Unchanged {
		t.At = s.Now()
		return t
	}
	if i.from == "" {
		return t
	}
	at := s.Now()
	changed, err := i.pool.cluster.Changed(ctx, i.spec(), i.from, cephcmd.Objects)
	if base, _ := i.Image.Snapshot(i.from); err != nil || len(changed) > 0 || base.Size != i.Size {
		return t
	}
	t.Mode, t.At, t.Reason = point.Unchanged, at, "nothing changed since point "+t.Parent
	return t
}

// snap fixes the image: with a snapshot of ours, or by the one that Glance made.
func (s *Source) snap(ctx context.Context, run string, i *image) error {
	if i.glances() {
		i.snapshot, _ = i.Image.Snapshot(GlanceSnapshot)
		return nil
	}
	at := s.Now()
	name := s.marker.name(run, at)
	if err := i.pool.cluster.Snap(ctx, i.spec().At(name)); err != nil {
		return err
	}
	i.ours, i.at, i.snapshot = true, at, cephcmd.Snapshot{Name: name}
	return s.identify(ctx, i, name)
}

// identify finds the snapshot's number, by the image's id: under its name there may be another image by now.
func (s *Source) identify(ctx context.Context, i *image, name string) error {
	all, err := i.pool.cluster.Snapshots(ctx, i.pool.Name, i.ID)
	if err != nil {
		return err
	}
	for _, snap := range all {
		if snap.Name == name {
			i.snapshot = snap
			return nil
		}
	}
	return fmt.Errorf("image %s is not the one that was planned: another has its name now", i.spec())
}
