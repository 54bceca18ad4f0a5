package backup

import (
	"context"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// letGo is how long a source may take to release what it held, also after an interruption.
const letGo = 5 * time.Minute

// hold fixes the moments of all components that can be, before any of them is read. What cannot be fixed is recorded as
// failed, and the other jobs are returned.
func (r *run) hold(ctx context.Context, jobs []job) []job {
	tasks := map[source.Source][]source.Task{}
	var ready []job
	for _, j := range jobs {
		if _, ok := j.source.(source.Barrier); ok {
			tasks[j.source] = append(tasks[j.source], j.task)
		} else {
			ready = append(ready, j)
		}
	}
	for _, s := range r.Sources { // in their order, and those first that others wait for
		barrier, ok := s.(source.Barrier)
		if !ok || len(tasks[s]) == 0 {
			continue
		}
		for _, h := range barrier.Hold(ctx, r.point.ID, tasks[s]) {
			if h.Err != nil {
				r.fail(h.Task, h.Err)
				continue
			}
			for _, text := range h.Task.Notes {
				r.emit(event.Event{Kind: event.Note, Source: s.Name(), Component: h.Task.Name, Text: text})
			}
			ready = append(ready, job{s, h.Task})
		}
	}
	return ready
}

// release lets go of what was held, in this run or an earlier one. Sealed is as stays has it. That something could not be let go is told and
// nothing else: the next run tries again.
func (r *run) release(ctx context.Context, sealed *point.Point) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letGo)
	defer cancel()
	for _, b := range r.barriers {
		note := func(text string) { r.emit(event.Event{Kind: event.Note, Source: b.Name(), Text: text}) }
		if err := b.Release(ctx, sealed, note); err != nil {
			note("not everything that the run needed could be removed, the next one tries again: " + reason(err))
		}
	}
	r.barriers = nil
}
