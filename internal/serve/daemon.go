// Package serve is the daemon: it keeps the schedule, lets one run at a time use a source or a tier, tries again what failed, and tells
// others what came of it. It opens no vault: steps are commands, and what is protected it learns from one.
package serve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/schedule"
)

// Listener is told what happens, in its order and one thing at a time. A result is told again when the daemon was killed before it knew
// that everybody has it: Run and Args tell results apart.
type Listener interface {
	Begins(job, run string) // a run of a job
	Ends(job, run string)
	Result(job.Result)
	Overview(coverage.Overview)
	Queue(Queue)
}

// Runner does the work.
type Runner interface {
	Step(ctx context.Context, run Run, s job.Step, w job.Watch) job.Result
	Overview(ctx context.Context) (*coverage.Overview, error)
}

// Setup is all that comes from the configuration. It is made whole before any of it takes effect.
type Setup struct {
	Config    *config.Config
	Listeners []Listener
	Commit    func() error // makes steps use it; nil: they do already
	Taken     func()       // called when the configuration holds from now on
}

// Options are what a daemon is made of.
type Options struct {
	Load   func() (Setup, error) // reads everything anew
	Runner Runner
	Now    func() time.Time
	Say    func(text string)  // to the log
	Notify func(state string) // to systemd
	// Watchdog is how often systemd wants to hear that all is well; 0 is never.
	Watchdog time.Duration
	// Speed is how much faster than time Now runs; 0 is as fast.
	Speed float64
}

// Daemon keeps the schedule.
type Daemon struct {
	opts  Options
	store store
	wake  chan struct{} // something has changed

	mu       sync.Mutex
	setup    Setup
	jobs     []planned
	st       *state
	gate     gate
	overview *coverage.Overview
	looked   time.Time
	looking  bool
	lookNext bool              // once more when this look is over
	rebuild  bool              // the state was lost: the first look tells when jobs were last done
	root     context.Context   // of the work
	troubles map[string]string // what the operator has to see to, by what it is about
	blind    error             // why the last look saw nothing
	working  sync.WaitGroup
	tell     teller
	begun    chan struct{} // closed when it works
}

// planned is a job and when it is done.
type planned struct {
	config.Job
	plan schedule.Plan
}

// longestSleep is after how long the daemon looks at the clock, which somebody may have set.
const longestSleep = 30 * time.Second

// New makes a daemon from what is remembered in a directory. It does not work yet. Only one may at a time: see Lock.
func New(dir string, opts Options) (*Daemon, error) {
	d := &Daemon{opts: opts, store: store{dir}, wake: make(chan struct{}, 1), troubles: map[string]string{}, begun: make(chan struct{})}
	setup, err := opts.Load()
	if err != nil {
		return nil, err
	}
	var trouble string
	if d.st, trouble = d.store.load(); d.st == nil {
		d.st, d.rebuild = &state{}, true
	}
	if trouble != "" {
		opts.Say(trouble)
	}
	if d.st.Jobs == nil {
		d.st.Jobs = map[string]seen{}
	}
	if d.overview = d.store.loadOverview(); d.overview != nil && !d.rebuild {
		d.looked = d.overview.At
	}
	return d, d.take(setup)
}

// take makes a new configuration hold, or changes nothing.
func (d *Daemon) take(setup Setup) error {
	var jobs []planned
	for _, j := range setup.Config.Jobs() {
		p, err := setup.Config.Plan(j)
		if err != nil {
			return fmt.Errorf("plan job %s: %w", j.Name, err)
		}
		jobs = append(jobs, planned{j, p})
	}
	if setup.Commit != nil {
		if err := setup.Commit(); err != nil {
			return err
		}
	}
	d.setup, d.jobs = setup, jobs
	d.tell.to(setup.Listeners)
	setup.Taken()
	return nil
}

// Reload reads the configuration anew. What is broken changes nothing and is told.
func (d *Daemon) Reload() {
	d.opts.Notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic()))
	setup, err := d.opts.Load()
	d.mu.Lock()
	old := d.setup.Config
	if err == nil && (setup.Config.State != old.State || setup.Config.Socket() != old.Socket()) {
		err = fmt.Errorf("state and serve.socket cannot change while the daemon runs: start it anew")
	}
	if err == nil {
		err = d.take(setup)
	}
	if err != nil {
		d.trouble("config", fmt.Sprintf("the configuration was not taken over, the one before holds on: %v", err))
	} else {
		d.trouble("config", "")
		d.opts.Say("the configuration was read anew")
		d.show() // who listens from now on knows nothing
		if d.root != nil && d.root.Err() == nil {
			d.look()
		}
	}
	d.changed()
	d.mu.Unlock()
	d.opts.Notify("READY=1")
}

// trouble notes what the operator has to see to, or that it is over.
func (d *Daemon) trouble(about, text string) {
	if d.troubles[about] == text {
		return
	}
	if text == "" {
		d.opts.Say(about + ": the trouble is over")
		delete(d.troubles, about)
	} else {
		d.opts.Say(text)
		d.troubles[about] = text
	}
	d.show()
}

// Work keeps the schedule until ctx ends, then stops what runs, which is gone on with at the next start.
func (d *Daemon) Work(ctx context.Context) {
	d.mu.Lock()
	d.root = ctx
	d.resume()
	d.mu.Unlock()
	close(d.begun)
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan struct{})
	go func() {
		defer close(told)
		d.tell.work(telling)
	}()
	for ctx.Err() == nil {
		sleep := time.NewTimer(d.real(d.tick()))
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-sleep.C:
		}
		sleep.Stop()
	}
	d.opts.Notify("STOPPING=1")
	d.working.Wait()
	d.tell.drain(lastWords)
	d.mu.Lock()
	d.save()
	d.mu.Unlock()
	stop()
	<-told
}

// real is how long a while takes, which is less where the clock runs faster.
func (d *Daemon) real(while time.Duration) time.Duration {
	if d.opts.Speed > 0 {
		return time.Duration(float64(while) / d.opts.Speed)
	}
	return while
}

// lastWords is how long listeners have to hear the last of it.
const lastWords = 5 * time.Second

// tick does what the time asks for, and returns for how long there is nothing to do.
func (d *Daemon) tick() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	sleep := longestSleep
	if d.opts.Watchdog > 0 {
		d.opts.Notify("WATCHDOG=1")
		sleep = min(sleep, d.opts.Watchdog/2)
	}
	if !d.rebuild {
		d.enqueueDue(now)
		d.enqueueTries(now)
	}
	if since := now.Sub(d.looked); !d.looking && (since >= d.every() || since < 0) {
		d.look()
	}
	if d.troubles["state"] != "" {
		d.save() // there may be room again
	}
	for _, at := range d.times(now) {
		sleep = min(sleep, max(at.Sub(now), 0))
	}
	return sleep
}

// times are when something is to be done next.
func (d *Daemon) times(now time.Time) (all []time.Time) {
	for _, j := range d.jobs {
		if next := d.next(j, now); next.After(now) {
			all = append(all, next)
		}
	}
	for _, t := range d.st.Tries {
		if t.At.After(now) {
			all = append(all, t.At)
		}
	}
	return all
}

// next is when a job begins next, should nothing be in its way. Of one that should have begun it is when.
func (d *Daemon) next(j planned, now time.Time) time.Time {
	if due, _ := j.plan.Due(d.lastOf(j, now), now); !due.IsZero() {
		if opens := j.plan.Start(now); opens.After(now) {
			return opens
		}
		return j.plan.Start(due)
	}
	if next := j.plan.Next(now); !next.IsZero() {
		return j.plan.Start(next)
	}
	return time.Time{}
}

func (d *Daemon) every() time.Duration {
	if d.setup.Config.Serve.Status > 0 {
		return d.setup.Config.Serve.Status
	}
	return config.DefaultStatus
}

// changed saves the state, tells the queue, and wakes the daemon.
func (d *Daemon) changed() {
	d.save()
	d.tell.queue(d.view())
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// save writes the state. A disk that is full does not stop the work: what is not remembered is at worst done twice.
func (d *Daemon) save() {
	st := *d.st
	st.Told = d.tell.told()
	st.Runs = slices.DeleteFunc(slices.Clone(st.Runs), func(r *Run) bool { return r.turn != nil })
	if err := d.store.save(&st); err != nil {
		d.trouble("state", fmt.Sprintf("what the daemon remembers cannot be written, it goes on without: %v; make room in %s", err, d.store.dir))
		return
	}
	d.trouble("state", "")
}

// jobNames are those of all jobs.
func (d *Daemon) jobNames() []string {
	names := map[string]bool{}
	for _, j := range d.jobs {
		names[j.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// job returns a job by its name.
func (d *Daemon) job(name string) (planned, bool) {
	i := slices.IndexFunc(d.jobs, func(j planned) bool { return j.Name == name })
	if i < 0 {
		return planned{}, false
	}
	return d.jobs[i], true
}
