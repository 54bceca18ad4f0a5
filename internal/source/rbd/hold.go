package rbd

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream/rbddiff"
)

// atOnce is how many images are looked at or snapshotted at the same time.
const atOnce = 8

// Hold finds the images that did not change, and takes the snapshots of the others: those of one server side by side, and
// while it stands still if that is wanted.
func (s *Source) Hold(ctx context.Context, run string, tasks []source.Task) []source.Held {
	held := make([]source.Held, len(tasks))
	each(len(tasks), func(n int) { held[n].Task = s.unchanged(ctx, tasks[n]) })
	s.confirm(ctx, tasks, held)
	slots := semaphore.NewWeighted(atOnce)
	var wg sync.WaitGroup
	for _, set := range s.sets(tasks, held) {
		weight := int64(min(len(set.members), atOnce))
		if err := slots.Acquire(ctx, weight); err != nil {
			set.fail(err)
			continue
		}
		wg.Go(func() {
			defer slots.Release(weight)
			set.hold(ctx, run)
		})
	}
	wg.Wait()
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
	if i.from == "" || i.compare {
		return t
	}
	at := s.Now()
	changed, err := i.pool.cluster.Changed(ctx, i.spec(), i.from, i.precision(ctx, i.spec()))
	if err != nil {
		return t
	}
	i.changed = bytesOf(changed)
	if i.changed > 0 || i.fromSnapshot().Size != i.Size {
		return t
	}
	t.Mode, t.At, t.Reason = point.Unchanged, at, "nothing changed since "+i.copy.From()
	if id, err := IdentityOf(i.copy.Component); err == nil {
		t.Identity = map[string]any{"increments": id.Increments + 1}
	}
	return t
}

// confirm has the images captured after all whose snapshot that nothing changed since is gone: what is asked of Ceph while it goes tells
// not all that changed. One listing for each pool tells.
func (s *Source) confirm(ctx context.Context, tasks []source.Task, held []source.Held) {
	listed := map[*pool]map[string]cephcmd.Image{} // by id
	for n := range held {
		i := s.image(tasks[n].Name)
		if tasks[n].Mode == point.Unchanged || held[n].Task.Mode != point.Unchanged {
			continue
		}
		if _, ok := listed[i.pool]; !ok {
			all, _ := i.pool.cluster.Images(ctx, i.pool.Name) // one that cannot be listed has them all captured
			listed[i.pool] = map[string]cephcmd.Image{}
			for _, now := range all {
				listed[i.pool][now.ID] = now
			}
		}
		if found, ok := listed[i.pool][i.ID].Snapshot(i.from); !ok || found.ID != i.fromSnapshot().ID {
			held[n].Task = tasks[n]
		}
	}
}

// fromSnapshot is the snapshot that the difference begins with, as it was found.
func (i *image) fromSnapshot() cephcmd.Snapshot {
	s, _ := i.Image.Snapshot(i.from)
	return s
}

func bytesOf(extents []rbddiff.Extent) (n int64) {
	for _, e := range extents {
		n += e.Length
	}
	return n
}

// snap fixes the image, with a snapshot of ours or by the one that Glance made.
func (i *image) snap(ctx context.Context, run string) error {
	if i.glances() {
		i.snapshot, _ = i.Image.Snapshot(GlanceSnapshot)
		return nil
	}
	if i.pool.full != "" {
		return problem.New(problem.Failed, "give it room or a larger quota: ceph osd pool set-quota "+i.pool.Name+" max_bytes BYTES", "no snapshot can be made: %s", i.pool.full)
	}
	i.at = i.pool.source.Now()
	i.snapshot = cephcmd.Snapshot{Name: i.pool.source.marker.name(run, i.at)}
	i.ours = true // also one that is cut off may have been made
	err := i.pool.cluster.Snap(ctx, i.spec().At(i.snapshot.Name))
	i.until = i.pool.source.Now()
	return err
}

// look reads what the image says of itself.
func (i *image) look(ctx context.Context) (err error) {
	i.info, err = i.pool.cluster.Info(ctx, i.spec())
	if err == nil && i.info.ID != i.ID {
		err = fmt.Errorf("image %s is not the one that was planned: its id is %s and was %s", i.spec(), i.info.ID, i.ID)
	}
	return err
}
