// Package backup is the engine of a run: it asks every source for its plan, streams the components into the vault side
// by side, proves and seals each source's snapshot, and seals the recovery point last. It emits events and never
// prints or logs. A component that fails takes nothing else down with it.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

const defaultParallel = 4

// Engine runs backups of some sources of one cloud into one vault.
type Engine struct {
	Cloud    string
	Version  string // of Holdfast, for the manifest
	Vault    *vault.Vault
	Sources  []source.Source
	Locked   bool // the caller holds the locks of all Sources, see Lock; otherwise Run takes them
	Journal  Journal
	Parallel int    // how many components stream at once; 0 is 4
	Only     string // capture only components whose name matches this pattern of path.Match; "" is all
	// What was captured of a Barrier is brought to a checkpoint after so many components, or after so long; 0 is 256 and 15
	// minutes. A run that is killed then loses no more than that.
	CheckpointEvery int
	CheckpointAfter time.Duration
	Listen          event.Listener
	Now             func() time.Time
}

// Run takes one recovery point of every source. It returns the sealed point, whatever its state; an error means that
// no point was sealed: a lock was held, the run was interrupted, or the vault could not be written.
func (e *Engine) Run(ctx context.Context) (point.Point, error) {
	if !e.Locked {
		unlock, err := Lock(e.Vault, e.sourceNames()...)
		if err != nil {
			return point.Point{}, err
		}
		defer unlock()
	}
	r := e.begin()
	r.tidy(ctx)
	r.reportKilledRuns(ctx)
	leave, err := e.Journal.enter(r.point.ID, e.sourceNames(), r.point.Started)
	if err != nil {
		return point.Point{}, err
	}
	defer leave()
	jobs := r.plan(ctx)
	if err := r.someMatch(jobs); err != nil {
		return point.Point{}, err
	}
	if err := r.open(ctx); err != nil {
		return point.Point{}, err
	}
	defer r.abandon()
	r.stream(ctx, r.hold(ctx, jobs))
	p, err := r.seal(ctx)
	r.release(ctx, r.stays(p, err))
	if err == nil && (len(r.resumed) > 0 || r.checkpointed()) {
		r.tidy(ctx)
	}
	if stopped := ctx.Err(); err != nil && stopped != nil {
		return point.Point{}, interrupted(stopped, e.Cloud)
	}
	return p, err
}

// tidy removes what no run needs any more. That it could not costs only space.
func (r *run) tidy(ctx context.Context) {
	if err := r.sweep(ctx); err != nil {
		r.note("vault", "leftovers of killed runs could not be removed: "+err.Error())
	}
}

func interrupted(err error, cloud string) error {
	p := problem.Wrap(err, "back up", cloud)
	p.Hint = "no point was made; earlier points are as they were"
	return p
}

// Lock takes the writer's locks of the named sources in a vault, or of none: when a run of one of them is on its way, it
// returns a problem of kind Busy at once. A caller that sets a run's sources up at some cost takes the locks before.
func Lock(v *vault.Vault, sources ...string) (unlock func(), err error) {
	var held []func()
	release := func() {
		for _, unlock := range held {
			unlock()
		}
	}
	for _, name := range sources {
		unlock, err := v.Lock(name)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, unlock)
	}
	return release, nil
}

func (e *Engine) sourceNames() []string {
	var names []string
	for _, s := range e.Sources {
		names = append(names, s.Name())
	}
	return names
}

func (e *Engine) begin() *run {
	now := e.Now()
	r := &run{Engine: e, sessions: map[string]*vault.Session{}, earlier: &earlier{vault: e.Vault}, resumed: map[string]bool{}}
	r.point = point.Point{
		ID: point.NewID(now), Cloud: e.Cloud, Version: e.Version, Started: now.UTC(), Components: []point.Component{},
	}
	r.emit(event.Event{Kind: event.RunStarted, Point: r.point.ID})
	return r
}

// run is one backup on its way.
type run struct {
	*Engine
	sessions map[string]*vault.Session
	earlier  *earlier
	barriers []source.Barrier // that hold something, or may
	keepers  map[string]*keeper
	resumed  map[string]bool // the sources of which killed runs had left something to build on

	mu    sync.Mutex // guards point
	point point.Point
}

// job is one planned component with the source that captures it.
type job struct {
	source source.Source
	task   source.Task
}

func (r *run) emit(ev event.Event) {
	ev.Time = r.Now().UTC()
	if r.Listen != nil {
		r.Listen(ev)
	}
}

func (r *run) note(sourceName, text string) {
	r.mu.Lock()
	r.point.Notes = append(r.point.Notes, sourceName+": "+text)
	r.mu.Unlock()
	r.emit(event.Event{Kind: event.Note, Source: sourceName, Text: text})
}

func (r *run) record(c point.Component) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.point.Components = append(r.point.Components, c)
}

// reportKilledRuns tells of runs that ended without a word. One that was killed after its last step left its point.
func (r *run) reportKilledRuns(ctx context.Context) {
	for _, name := range r.sourceNames() {
		if e, ok := r.Journal.killed(name); ok {
			r.note(name, fmt.Sprintf("run %s of %s was killed %s", e.Point, e.Started.Format(time.RFC3339), r.remains(ctx, e.Point, name)))
		}
	}
}

// remains says what a killed run left.
func (r *run) remains(ctx context.Context, id, source string) string {
	points, err := r.Vault.Points(ctx)
	if err != nil {
		return "and it is not known whether it left its point: " + err.Error()
	}
	for _, p := range points {
		if p.ID == id {
			return fmt.Sprintf("after its point was sealed: that is %s and counts", p.State)
		}
	}
	if r.resumed[source] {
		return "and left no point; what it had kept in checkpoints is built on"
	}
	return "and left no point"
}

// plan asks all sources at once. A source that cannot plan becomes one failed, required component, so that the point
// says what is missing.
func (r *run) plan(ctx context.Context) []job {
	plans := make([]source.Plan, len(r.Sources))
	errs := make([]error, len(r.Sources))
	var wg sync.WaitGroup
	for i, s := range r.Sources {
		wg.Go(func() { plans[i], errs[i] = s.Plan(ctx) })
	}
	wg.Wait()
	var jobs []job
	for i, s := range r.Sources {
		if errs[i] != nil {
			r.fail(source.Task{Source: s.Name(), Name: point.PlanName, Kind: point.Metadata, Mode: point.Full, Required: true}, errs[i])
			continue
		}
		if b, ok := s.(source.Barrier); ok {
			r.barriers = append(r.barriers, b) // also with nothing to capture it may hold what earlier runs needed
		}
		jobs = append(jobs, r.accept(s, plans[i].Only(r.Only))...)
	}
	if r.Only != "" {
		r.note("run", "only components like "+r.Only+" were asked for")
	}
	return jobs
}

// someMatch refuses a run whose pattern leaves nothing to do, which is a slip of the operator and no point. A component
// that matches and cannot be captured is recorded already.
func (r *run) someMatch(jobs []job) error {
	if r.Only == "" || len(jobs) > 0 {
		return nil
	}
	for _, c := range r.point.Components {
		if c.Required {
			return nil
		}
	}
	return problem.New(problem.Usage, "holdfast backup --dry-run names the components", "no component is like %q", r.Only)
}

func (r *run) accept(s source.Source, p source.Plan) []job {
	for _, text := range p.Notes {
		r.note(s.Name(), text)
	}
	var skipped []point.Component
	for _, t := range p.Skipped {
		c := component(t, r.Now())
		c.State = point.Skipped
		r.record(c)
		skipped = append(skipped, c)
	}
	each, many := point.Fold(skipped)
	for _, c := range each {
		r.told(c)
	}
	for _, m := range many {
		r.emit(event.Event{Kind: event.Note, Source: m.Source, Text: fmt.Sprintf("%d left out: %s", m.Count, m.Reason)})
	}
	var jobs []job
	for _, t := range p.Tasks {
		jobs = append(jobs, job{s, t})
		r.emit(event.Event{Kind: event.Planned, Source: t.Source, Component: t.Name, Host: t.Host, Total: t.Estimate, Text: t.Reason})
	}
	return jobs
}

// open begins one vault session for each source.
func (r *run) open(ctx context.Context) error {
	for _, s := range r.Sources {
		session, err := r.Vault.Begin(ctx, r.point.ID, s.Name())
		if err != nil {
			r.abandon()
			return err
		}
		r.sessions[s.Name()] = session
	}
	return nil
}

// abandon gives up the sessions that were not sealed.
func (r *run) abandon() {
	for name, session := range r.sessions {
		session.Abandon(context.Background())
		delete(r.sessions, name)
	}
}

// stream captures all components, several at a time.
func (r *run) stream(ctx context.Context, jobs []job) {
	r.startKeepers(ctx, jobs)
	defer r.stopKeepers()
	slots := make(chan struct{}, cmp.Or(max(r.Parallel, 0), defaultParallel))
	var wg sync.WaitGroup
	for _, j := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() == nil {
				r.capture(ctx, j)
			}
		})
	}
	wg.Wait()
}

// seal finishes every source's snapshot and then the point itself, unless the run was stopped.
func (r *run) seal(ctx context.Context) (point.Point, error) {
	for _, s := range r.Sources {
		if err := ctx.Err(); err != nil {
			return point.Point{}, err
		}
		if err := r.sealSource(ctx, s.Name()); err != nil {
			r.failSource(s.Name(), err)
		}
	}
	p := &r.point
	p.Finished = r.Now().UTC()
	p.State, p.SkewSeconds = point.Judge(p.Components)
	if err := r.Vault.SealPoint(ctx, *p); err != nil {
		return point.Point{}, errors.Join(err, firstFailure(p.Components))
	}
	r.emit(event.Event{Kind: event.RunFinished, Point: p.ID, State: string(p.State), Seconds: p.Finished.Sub(p.Started).Seconds()})
	return *p, nil
}

// sealSource seals the snapshot of one source, unless nothing of it was captured.
func (r *run) sealSource(ctx context.Context, name string) error {
	session := r.sessions[name]
	delete(r.sessions, name)
	var captured []point.Component
	for _, c := range r.point.Components {
		if c.Source == name && (c.State == point.Good || c.State == point.ComponentPartial) {
			captured = append(captured, c)
		}
	}
	if len(captured) == 0 {
		session.Abandon(ctx)
		return nil
	}
	state, _ := point.Judge(captured)
	_, err := session.Seal(ctx, manifest{Point: r.point.ID, Source: name, Components: captured}, map[string]string{"state": string(state)})
	return err
}

// manifest is what stands beside a source's trees, so that they can be understood without the point.
type manifest struct {
	Point      string            `json:"point"`
	Source     string            `json:"source"`
	Components []point.Component `json:"components"`
}

// failSource marks what was captured of a source as failed: it could not be sealed, so it does not exist.
func (r *run) failSource(name string, err error) {
	for i := range r.point.Components {
		c := &r.point.Components[i]
		if c.Source == name && (c.State == point.Good || c.State == point.ComponentPartial) {
			c.State, c.Reason = point.ComponentFailed, "seal in the vault: "+reason(err)
			r.told(*c)
		}
	}
}

func firstFailure(components []point.Component) error {
	for _, c := range components {
		if c.State == point.ComponentFailed {
			return errors.New(c.Source + " " + c.Name + ": " + c.Reason)
		}
	}
	return nil
}
