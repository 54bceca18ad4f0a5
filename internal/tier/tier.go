// Package tier brings recovery points from one tier to the next: newest first, exactly what the next one lacks, proven there
// before a point counts as held.
package tier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/vault"
)

// Options choose what Replicate does.
type Options struct {
	// Points are the ids of those to copy, none for all that lack.
	Points []string
	// Parallel is how many contents are on their way at once; 0 is 16.
	Parallel int
	// Limit is how many bytes are sent in a second; 0 is no limit.
	Limit int64
	// DryRun only counts what would be copied.
	DryRun bool
	// Listen hears how it goes; it may be nil.
	Listen event.Listener
	// Now is the clock.
	Now func() time.Time
}

// State says what became of a point.
type State string

// A point is Copied when the next tier holds a proven copy, Damaged when the first one could not give all of it, and Lacking
// in a dry run.
const (
	Copied  State = "copied"
	Damaged State = "damaged"
	Lacking State = "lacking"
)

// Point is what the copy of one point took.
type Point struct {
	vault.Copied
	State   State       `json:"state"`
	Was     point.State `json:"point_state"`
	Sealed  time.Time   `json:"sealed"`
	Seconds float64     `json:"seconds"`
}

// Result is what a replication did. Held are the points that were there before.
type Result struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	DryRun bool    `json:"dry_run"`
	Held   int     `json:"held"`
	Points []Point `json:"points"`
}

// lockName is that of the lock in the next tier's vault.
const lockName = "replicate"

// Replicate copies points of one vault into the next. A point that the first vault cannot give whole ends as Damaged while the
// others go on, and the result as a problem of kind Damage. After any other error the rest is left for the next run, which
// finds what was copied. Another replication into the same vault is a problem of kind Busy.
func Replicate(ctx context.Context, from, to *vault.Vault, o Options) (Result, error) {
	res := Result{From: from.Location().Tier, To: to.Location().Tier, DryRun: o.DryRun, Points: []Point{}}
	if !o.DryRun {
		unlock, err := to.Lock(lockName)
		if err != nil {
			return res, err
		}
		defer unlock()
	}
	run := &run{o: o, res: &res}
	r, err := from.Replica(ctx, to, vault.ReplicaOptions{Parallel: o.Parallel, DryRun: o.DryRun, Spend: budget(o.Limit), Progress: run.progress})
	if err != nil {
		return res, err
	}
	lacking, err := choose(r, o.Points)
	if err == nil {
		res.Held = r.Held()
		err = run.copy(ctx, r, lacking)
	}
	return res, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
}

// choose returns what is to be copied of the named points.
func choose(r *vault.Replica, names []string) ([]vault.Sealed, error) {
	lacking := r.Lacking()
	if len(names) == 0 {
		return lacking, nil
	}
	for _, id := range names {
		if !r.Has(id) {
			return nil, problem.New(problem.NotFound, "list the points with: holdfast points", "there is no point %s to copy", id)
		}
	}
	return slices.DeleteFunc(lacking, func(p vault.Sealed) bool { return !slices.Contains(names, p.ID) }), nil
}

// run is one replication on its way.
type run struct {
	o   Options
	res *Result
}

func (r *run) copy(ctx context.Context, from *vault.Replica, points []vault.Sealed) error {
	if len(points) == 0 {
		return nil
	}
	r.tell(event.Event{Kind: event.RunStarted})
	state := "failed"
	defer func() { r.tell(event.Event{Kind: event.RunFinished, State: state}) }()
	var damage []error
	for _, p := range points {
		err := r.one(ctx, from, p)
		if err != nil && (problem.KindOf(err) != problem.Damage || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			damage = append(damage, err)
		}
	}
	if len(damage) > 0 {
		return problem.New(problem.Damage, problem.HintOf(damage[0]), "%w", errors.Join(damage...))
	}
	state = "complete"
	return nil
}

func (r *run) one(ctx context.Context, from *vault.Replica, p vault.Sealed) error {
	began := r.o.Now()
	r.tell(event.Event{Kind: event.Started, Component: p.ID})
	c, err := from.Copy(ctx, p.ID)
	took := r.o.Now().Sub(began).Seconds()
	end := event.Event{Kind: event.Finished, Component: p.ID, State: string(point.Good), Bytes: c.Bytes, New: c.Bytes, Seconds: took}
	out := Point{Copied: c, State: Copied, Was: p.State, Sealed: p.At, Seconds: took}
	switch {
	case err != nil && problem.KindOf(err) == problem.Damage:
		out.State = Damaged
	case r.o.DryRun:
		out.State = Lacking
	}
	if err != nil {
		end.State, end.Text = string(point.ComponentFailed), err.Error()
	}
	if err == nil || out.State == Damaged {
		r.res.Points = append(r.res.Points, out)
	}
	r.tell(end)
	return err
}

func (r *run) progress(c vault.Copied) {
	r.tell(event.Event{Kind: event.Progress, Component: c.Point, Bytes: c.Bytes, New: c.Bytes})
}

// tell has nothing to tell of a dry run.
func (r *run) tell(e event.Event) {
	if r.o.Listen == nil || r.o.DryRun {
		return
	}
	e.Time, e.Source = r.o.Now(), r.res.To
	r.o.Listen(e)
}

// atOneGo is the most that is asked of a budget at once.
const atOneGo = 64 << 10

// budget bounds how much is sent in a second, by all contents on their way together. It is nil without a limit.
func budget(perSecond int64) func(context.Context, int) error {
	if perSecond == 0 {
		return nil
	}
	limiter := rate.NewLimiter(rate.Limit(perSecond), atOneGo)
	return func(ctx context.Context, n int) error {
		for n > 0 {
			part := min(n, atOneGo)
			if err := limiter.WaitN(ctx, part); err != nil {
				return fmt.Errorf("wait for the limit: %w", err)
			}
			n -= part
		}
		return nil
	}
}
