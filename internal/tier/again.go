package tier

import (
	"context"
	"errors"
	"time"

	"holdfast/internal/problem"
)

// Backoff says how long to wait after a failure: After, then twice as long after each further one, up to Most.
type Backoff struct{ After, Most time.Duration }

// Wait returns how long to wait after so many failures in a row, one or more.
func (b Backoff) Wait(failures int) time.Duration {
	wait := b.After
	for range failures - 1 {
		if wait >= b.Most/2 {
			return max(b.Most, b.After)
		}
		wait *= 2
	}
	return wait
}

// Passing reports whether a failure may be gone after a while: that of a place which cannot be reached, or of which somebody else
// makes use, and not that of a wrong configuration or of damaged data.
func Passing(err error) bool {
	switch problem.KindOf(err) {
	case problem.Failed, problem.Unreachable, problem.Busy:
		return !errors.Is(err, context.Canceled)
	}
	return false
}

// Task is one thing to do until it succeeds.
type Task struct {
	Backoff Backoff
	Do      func(context.Context) error
	// Failed hears of a failure after which Do is called again, in wait.
	Failed func(err error, wait time.Duration)
}

// Again does the tasks, one at a time, in their order, and those again that fail in a way that passes, each after its own pause. It
// returns how each ended: the last error, or nil.
func Again(ctx context.Context, tasks []Task) []error {
	ends := make([]error, len(tasks))
	due, failures := map[int]time.Time{}, map[int]int{}
	for i := range tasks {
		due[i] = time.Now()
	}
	for len(due) > 0 {
		i := next(due)
		if err := sleep(ctx, time.Until(due[i])); err != nil {
			for i := range due {
				ends[i] = errors.Join(ends[i], err)
			}
			return ends
		}
		delete(due, i)
		if ends[i] = tasks[i].Do(ctx); ends[i] == nil || !Passing(ends[i]) || ctx.Err() != nil {
			continue
		}
		failures[i]++
		wait := tasks[i].Backoff.Wait(failures[i])
		due[i] = time.Now().Add(wait)
		tasks[i].Failed(ends[i], wait)
	}
	return ends
}

// next is the first that is due; of several the one that was named first.
func next(due map[int]time.Time) int {
	first := -1
	for i, at := range due {
		if first < 0 || at.Before(due[first]) || at.Equal(due[first]) && i < first {
			first = i
		}
	}
	return first
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
