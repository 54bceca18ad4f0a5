package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/vault"
)

// When captured components are brought to a checkpoint, if the engine does not say otherwise.
const (
	checkpointEvery = 256
	checkpointAfter = 15 * time.Minute
)

// keeper brings what was captured of a source to checkpoints, while the rest is captured.
type keeper struct {
	run     *run
	source  string
	session *vault.Session
	news    chan point.Component // with room for all
	ended   sync.WaitGroup

	kept []point.Component // in checkpoints; valid after ended
}

// startKeepers starts a keeper for each source that holds its components for later runs.
func (r *run) startKeepers(ctx context.Context, jobs []job) {
	r.keepers = map[string]*keeper{}
	for _, b := range r.barriers {
		k := &keeper{run: r, source: b.Name(), session: r.sessions[b.Name()], news: make(chan point.Component, len(jobs))}
		r.keepers[b.Name()] = k
		k.ended.Go(func() { k.work(ctx) })
	}
}

// stopKeepers waits until no checkpoint is on its way.
func (r *run) stopKeepers() {
	for _, k := range r.keepers {
		close(k.news)
		k.ended.Wait()
	}
}

// captured hands a component to its source's keeper, if that has one.
func (r *run) captured(c point.Component) {
	if k := r.keepers[c.Source]; k != nil && c.State == point.Good {
		k.news <- c
	}
}

// work makes a checkpoint of what came since the last one, when that is enough or long enough ago.
func (k *keeper) work(ctx context.Context) {
	every, after := cmp.Or(k.run.CheckpointEvery, checkpointEvery), cmp.Or(k.run.CheckpointAfter, checkpointAfter)
	due := time.NewTicker(after)
	defer due.Stop()
	var fresh []point.Component
	for {
		late := false
		select {
		case c, more := <-k.news:
			if !more {
				return
			}
			fresh = append(fresh, c)
		case <-due.C:
			late = len(fresh) > 0
		}
		if len(fresh) >= every || late {
			k.keep(ctx, fresh)
			fresh = nil
			due.Reset(after)
		}
	}
}

// keep makes a checkpoint. What goes wrong is told and no more: the seal meets it again, or is spared it.
func (k *keeper) keep(ctx context.Context, fresh []point.Component) {
	var paths []string
	for _, c := range fresh {
		paths = append(paths, c.Path)
	}
	err := k.session.Checkpoint(ctx, manifest{Point: k.run.point.ID, Source: k.source, Components: fresh}, paths...)
	if err == nil {
		k.kept = append(k.kept, fresh...)
	}
	if ctx.Err() != nil {
		return
	}
	note := fmt.Sprintf("checkpoint: %d captured components are kept should the run be cut off", len(k.kept))
	if err != nil {
		note = "no checkpoint could be made, what was captured since the last is lost should the run be cut off: " + reason(err)
	}
	k.run.emit(event.Event{Kind: event.Note, Source: k.source, Text: note})
}

// stays is what the vault has of the run: its point, unless err is why there is none, with what is good in a checkpoint where
// the point has nothing good. It is nil when that is nothing.
func (r *run) stays(p point.Point, err error) *point.Point {
	if err != nil {
		p = point.Point{ID: r.point.ID}
	}
	p.Components = slices.Clone(p.Components)
	at := map[string]int{}
	for n, c := range p.Components {
		at[c.Source+" "+c.Name] = n
	}
	for _, k := range r.keepers {
		for _, c := range k.kept {
			n, ok := at[c.Source+" "+c.Name]
			switch {
			case !ok:
				p.Components = append(p.Components, c)
			case p.Components[n].State != point.Good:
				p.Components[n] = c
			}
		}
	}
	if err != nil && len(p.Components) == 0 {
		return nil
	}
	return &p
}

// checkpointed reports whether the run made a checkpoint.
func (r *run) checkpointed() bool {
	for _, k := range r.keepers {
		if len(k.kept) > 0 {
			return true
		}
	}
	return false
}
