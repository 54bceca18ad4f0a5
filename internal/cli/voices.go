package cli

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/metrics"
	"holdfast/internal/notify"
	"holdfast/internal/problem"
	"holdfast/internal/serve"
)

// voices tell the world what jobs do: people by notify, Prometheus by metrics.
type voices struct {
	app      *app
	people   *notify.Teller
	numbers  *metrics.Metrics
	textfile string // "" is none
}

var _ serve.Listener = (*voices)(nil)

func (a *app) newVoices(cfg *config.Config) *voices {
	v := &voices{app: a, people: notify.New(cfg, a.env.Now, a.warn), textfile: cfg.Metrics.Textfile}
	jobs := []job.Job{}
	for _, j := range cfg.Jobs() {
		jobs = append(jobs, job.Of(cfg, j))
	}
	v.numbers = metrics.New(metrics.Options{
		Jobs: jobs, Sources: cfg.Sources(), Cloud: cfg.Cloud, Version: VersionText(), State: cfg.State, PerImage: cfg.Metrics.PerImage, Now: a.env.Now, Notify: v.people.Status,
	})
	return v
}

// Begins implements serve.Listener.
func (v *voices) Begins(job, run string) { v.people.Begin(job, run) }

// Ends implements serve.Listener.
func (v *voices) Ends(job, run string) { v.people.End(job, run) }

// begin tells at once that a run without a daemon begins, beside its first step. The function that it returns waits until that was done;
// what cannot be told is left to the end of the run.
func (v *voices) begin(ctx context.Context, job, run string) (told func()) {
	v.Begins(job, run)
	ctx, cancel := context.WithTimeout(ctx, fewWords)
	done := make(chan struct{})
	go func() { defer close(done); v.people.Flush(ctx) }()
	return func() { <-done; cancel() }
}

// Result implements serve.Listener.
func (v *voices) Result(r job.Result) {
	v.people.Result(r)
	v.numbers.Result(r)
	v.write()
}

// Overview implements serve.Listener.
func (v *voices) Overview(o coverage.Overview) {
	v.numbers.Overview(o)
	v.people.Overview(o)
	v.write()
}

// Queue implements serve.Listener.
func (v *voices) Queue(q serve.Queue) {
	var waiting, running int
	for _, r := range q.Runs {
		if r.State == serve.Running {
			running++
		} else {
			waiting++
		}
	}
	due := map[string]time.Time{}
	for _, n := range q.Next {
		if n.At != nil {
			due[n.Job] = *n.At
		}
	}
	v.numbers.Queue(waiting, running)
	v.numbers.Next(due)
}

// write brings the textfile up to date.
func (v *voices) write() {
	if v.textfile == "" {
		return
	}
	if err := v.numbers.WriteTextfile(v.textfile); err != nil {
		v.app.warn(err.Error())
	}
}

// audience is who a daemon tells, across the configurations that it reads.
type audience struct {
	app     *app
	ctx     context.Context // of the daemon
	address string          // at which Prometheus asks; "" or none is nowhere
	numbers atomic.Pointer[http.Handler]
	silence func() // ends what tells for the configuration that holds
	hang    func() // ends the answering at the address
}

// setup reads all that the daemon takes from the configuration; nothing of it holds before it is taken.
func (l *audience) setup() (serve.Setup, error) {
	cfg, data, err := l.app.daemonConfig()
	if err != nil {
		return serve.Setup{}, err
	}
	v := l.app.newVoices(cfg)
	return serve.Setup{
		Config: cfg, Listeners: []serve.Listener{v},
		Commit: func() error { return l.app.commit(cfg, data) },
		Taken:  func() { l.take(v, cfg.Metrics.Listen) },
	}, nil
}

// take makes the voices of a new configuration speak in the place of those before.
func (l *audience) take(v *voices, address string) {
	if l.silence != nil {
		l.silence()
	}
	l.silence = inBackground(l.ctx, v.people.Run)
	handler := v.numbers.Handler()
	l.numbers.Store(&handler)
	if address == l.address {
		return
	}
	if l.hang != nil {
		l.hang()
	}
	l.address, l.hang = address, nil
	if address != config.NoListen {
		l.hang = inBackground(l.ctx, func(ctx context.Context) { l.answer(ctx, address) })
	}
}

// listenAgain is when an address is tried again that somebody else has.
const listenAgain = 10 * time.Second

// answer serves Prometheus at an address. One that is not free keeps nobody from backing up: it is tried again until it is.
func (l *audience) answer(ctx context.Context, address string) {
	for said := false; ctx.Err() == nil; {
		ln, err := metrics.Listen(address)
		if err == nil {
			said = false
			err = metrics.Serve(ctx, ln, l)
		}
		if err != nil && !said {
			said = true
			l.app.warn("Prometheus gets no answer: " + err.Error() + "; " + problem.HintOf(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// ServeHTTP answers Prometheus by the configuration that holds.
func (l *audience) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*l.numbers.Load()).ServeHTTP(w, r)
}

// inBackground does something until end, which waits for it.
func inBackground(ctx context.Context, do func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); do(ctx) }()
	return func() { cancel(); <-done }
}
