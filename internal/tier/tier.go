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
	// Limit returns how many bytes may be sent in a second at the moment, 0 for any number; nil is no limit.
	Limit func() int64
	// DryRun only counts what would be copied.
	DryRun bool
	// Unwanted, if not nil, tells which of the points that lack the next tier would let go again, and why, by id: those are not
	// copied unless they are among Points.
	Unwanted func(ctx context.Context, lacking []vault.Sealed) (map[string]string, error)
	// Refuse, if not nil, is asked right before each point is copied, and returns why it must not be now; the others go on.
	Refuse func(context.Context, vault.Sealed) error
	// Listen hears how it goes; it may be nil.
	Listen event.Listener
	// Now is the clock.
	Now func() time.Time
}

// State says what became of a point.
type State string

// A point is Copied when the next tier holds a proven copy, Damaged when the first one could not give all of it, Refused when Options
// say so, and Lacking in a dry run.
const (
	Copied  State = "copied"
	Damaged State = "damaged"
	Refused State = "refused"
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
	// Unwanted are points that the next tier's own rules would let go again.
	Unwanted []Unwanted `json:"unwanted,omitempty"`
}

// Unwanted is a point that is not copied.
type Unwanted struct {
	Point  string `json:"point"`
	Reason string `json:"reason"`
}

// LockName is that of the lock in the next tier's vault.
const LockName = "replicate"

// Replicate copies points of one vault into the next. A point that the first vault cannot give whole ends as Damaged while the
// others go on, and the result as a problem of kind Damage; so do those that Options refuse, with the problem that this is. After any other error the rest is left for the next run, which
// finds what was copied. What the next vault locks it locks anew when that is due. Another replication into the same vault is a problem of kind Busy.
func Replicate(ctx context.Context, from, to *vault.Vault, o Options) (Result, error) {
	res := Result{From: from.Location().Tier, To: to.Location().Tier, DryRun: o.DryRun, Points: []Point{}}
	if !o.DryRun {
		unlock, err := to.LockEverywhere(LockName)
		if err != nil {
			return res, err
		}
		defer unlock()
	}
	run := &run{o: o, res: &res, to: to}
	run.extend(ctx)
	r, err := from.Replica(ctx, to, vault.ReplicaOptions{Parallel: o.Parallel, DryRun: o.DryRun, Spend: budget(o.Limit), Progress: run.progress})
	if err != nil {
		return res, errors.Join(err, run.unlocked)
	}
	lacking, err := choose(r, o.Points)
	if err == nil && len(o.Points) == 0 {
		lacking, err = run.wanted(ctx, lacking)
	}
	if err == nil {
		res.Held = r.Held()
		err = run.copy(ctx, r, lacking)
	}
	return res, errors.Join(err, run.unlocked, r.Close(context.WithoutCancel(ctx)))
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

// wanted leaves out what the next tier would let go again.
func (r *run) wanted(ctx context.Context, lacking []vault.Sealed) (points []vault.Sealed, err error) {
	if r.o.Unwanted == nil || len(lacking) == 0 {
		return lacking, nil
	}
	why, err := r.o.Unwanted(ctx, lacking)
	if err != nil {
		return nil, err
	}
	for _, p := range lacking {
		if reason, ok := why[p.ID]; ok {
			r.res.Unwanted = append(r.res.Unwanted, Unwanted{p.ID, reason})
			continue
		}
		points = append(points, p)
	}
	return points, nil
}

// run is one replication on its way.
type run struct {
	o        Options
	res      *Result
	to       *vault.Vault
	looked   time.Time // when it was last asked whether locks are due
	unlocked error     // why they could not be renewed, which is no reason to copy nothing
}

// extend renews what the next vault locks, when that is due: also while a replication takes longer than the locks last.
func (r *run) extend(ctx context.Context) {
	if at := r.o.Now(); !r.o.DryRun && at.Sub(r.looked) >= lookAtLocks {
		_, r.unlocked = r.to.ExtendLocks(ctx, false)
		r.looked = at
	}
}

// lookAtLocks is how often a replication looks whether locks are due.
const lookAtLocks = time.Hour

func (r *run) copy(ctx context.Context, from *vault.Replica, points []vault.Sealed) error {
	if len(points) == 0 {
		return nil
	}
	r.tell(event.Event{Kind: event.RunStarted})
	state := "failed"
	defer func() { r.tell(event.Event{Kind: event.RunFinished, State: state}) }()
	var damage, refused []error
	for _, p := range points {
		r.extend(ctx)
		if err := r.refuses(ctx, p); err != nil {
			refused = append(refused, err)
			continue
		}
		err := r.one(ctx, from, p)
		if err != nil && (problem.KindOf(err) != problem.Damage || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			damage = append(damage, err)
		}
	}
	if len(damage) > 0 {
		return problem.New(problem.Damage, problem.HintOf(damage[0]), "%w", errors.Join(append(damage, refused...)...))
	}
	if len(refused) > 0 { // all for the same reason
		return problem.New(problem.KindOf(refused[0]), problem.HintOf(refused[0]), "%d points were not copied: %w", len(refused), refused[0])
	}
	state = "complete"
	return nil
}

// refuses returns why a point must not be copied now, and notes it.
func (r *run) refuses(ctx context.Context, p vault.Sealed) error {
	if r.o.Refuse == nil || r.o.DryRun {
		return nil
	}
	err := r.o.Refuse(ctx, p)
	if err != nil {
		r.res.Points = append(r.res.Points, Point{Copied: vault.Copied{Point: p.ID}, State: Refused, Was: p.State, Sealed: p.At})
	}
	return err
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
	if c.Mended > 0 {
		r.tell(event.Event{Kind: event.Note, Component: p.ID, Text: fmt.Sprintf("%d contents that tier %s had lost or damaged were sent anew", c.Mended, r.res.To)})
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
func budget(limit func() int64) func(context.Context, int) error {
	if limit == nil {
		return nil
	}
	limiter := rate.NewLimiter(rate.Inf, atOneGo)
	return func(ctx context.Context, n int) error {
		for n > 0 {
			now := rate.Limit(limit())
			if now == 0 {
				return nil
			}
			if now != limiter.Limit() {
				limiter.SetLimit(now)
			}
			part := min(n, atOneGo)
			if err := limiter.WaitN(ctx, part); err != nil {
				return fmt.Errorf("wait for the limit: %w", err)
			}
			n -= part
		}
		return nil
	}
}
