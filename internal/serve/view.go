package serve

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/job"
)

// Queue is what the daemon does and is about to do.
type Queue struct {
	At       time.Time  `json:"at"`
	PID      int        `json:"pid"`
	Cloud    string     `json:"cloud"`
	Config   string     `json:"config"`
	Runs     []RunView  `json:"runs"` // those that go on, then those that wait
	Next     []NextView `json:"next"` // of each job, soonest first
	Tries    []TryView  `json:"tries"`
	Troubles []string   `json:"troubles"` // what the operator has to see to
}

// RunView is a run of the queue.
type RunView struct {
	Run     string    `json:"run"`
	Job     string    `json:"job"` // "" of a command that an operator typed
	Why     string    `json:"why"` // schedule, missed, asked, again or command
	State   string    `json:"state"`
	Args    []string  `json:"args"` // of the step that runs or waits
	Step    int       `json:"step"` // from 1
	Steps   int       `json:"steps"`
	Behind  string    `json:"behind,omitempty"` // what it waits for
	Due     time.Time `json:"due,omitzero"`
	Queued  time.Time `json:"queued"`
	Started time.Time `json:"started,omitzero"` // the step
	Try     int       `json:"try"`
}

// NextView is when a job begins next.
type NextView struct {
	Job  string     `json:"job"`
	When string     `json:"when"`
	At   *time.Time `json:"at"`
	// Last is what came of its newest run: of the first step that was not done to its end, else of the last one.
	Last *job.Result `json:"last,omitempty"`
}

// TryView is something that failed and is tried again.
type TryView struct {
	Job  string    `json:"job"`
	Args []string  `json:"args"`
	At   time.Time `json:"at"`
	Try  int       `json:"try"`
}

// The states of a run.
const (
	Running = "running"
	Waiting = "waiting"
)

func (d *Daemon) view() Queue {
	now := d.opts.Now()
	q := Queue{At: now.UTC(), PID: os.Getpid(), Cloud: d.setup.Config.Cloud, Config: d.setup.Config.File, Runs: []RunView{}, Next: []NextView{}, Tries: []TryView{}, Troubles: []string{}}
	for _, r := range d.st.Runs {
		q.Runs = append(q.Runs, d.runView(r))
	}
	slices.SortStableFunc(q.Runs, func(a, b RunView) int { return strings.Compare(a.State, b.State) })
	for _, j := range d.jobs {
		n := NextView{Job: j.Name, When: j.plan.Rule.String(), Last: d.st.lastOf(j.Name)}
		if at := d.next(j, now); !at.IsZero() {
			at = at.UTC()
			n.At = &at
		}
		q.Next = append(q.Next, n)
	}
	slices.SortStableFunc(q.Next, func(a, b NextView) int {
		if a.At == nil || b.At == nil {
			return 0
		}
		return a.At.Compare(*b.At)
	})
	for _, t := range d.st.Tries {
		q.Tries = append(q.Tries, TryView{t.Job, t.Steps[0].Args, t.At, t.Try})
	}
	for _, text := range d.troubles {
		q.Troubles = append(q.Troubles, text)
	}
	slices.Sort(q.Troubles)
	return q
}

func (d *Daemon) runView(r *Run) RunView {
	v := RunView{Run: r.ID, Job: r.Job, Why: r.Why, State: Waiting, Args: r.step().Args, Step: min(r.Next+1, len(r.Steps)), Steps: len(r.Steps), Due: r.Due, Queued: r.Queued, Try: r.Try}
	if r.Running {
		v.State, v.Started = Running, r.Began
	} else if r.ticket != nil {
		v.Behind = d.behind(r.ticket)
	}
	return v
}

// behind says what a ticket waits for.
func (d *Daemon) behind(t *ticket) string {
	var parts []string
	for _, r := range d.gate.before(t) {
		text := "holdfast " + strings.Join(r.step().Args, " ")
		if r.Job != "" {
			text += " of job " + r.Job
		}
		if r.Running {
			text += ", since " + r.Began.Format(time.RFC3339)
		}
		parts = append(parts, fmt.Sprintf("%s (run %s)", text, r.ID))
	}
	return strings.Join(parts, "; ")
}

// lastOf is what came of the newest run of a job.
func (st *state) lastOf(name string) (last *job.Result) {
	for _, t := range slices.Backward(st.Results) {
		switch {
		case t.Job != name:
		case last == nil:
			last = &t.Result
		case t.Run != last.Run:
			return last
		case !t.Good():
			last = &t.Result
		}
	}
	return last
}

// saw takes in what a look found.
func (d *Daemon) saw(o *coverage.Overview, err error) {
	d.blind = err
	if err != nil {
		d.trouble("status", fmt.Sprintf("what is protected cannot be told: %v", err))
	} else {
		d.overview = o
		d.trouble("status", "")
		if err := d.store.saveOverview(o); err != nil {
			d.trouble("state", fmt.Sprintf("the overview cannot be written: %v; make room in %s", err, d.store.dir))
		}
		d.show()
	}
	if d.rebuild {
		d.rebuildFrom(o)
	}
	d.changed()
}

// show tells the listeners what is protected, as far as the daemon knows: what it has trouble with itself is a broken promise too, and
// after a look that saw nothing no tier is known to be there.
func (d *Daemon) show() {
	if d.overview == nil && d.blind == nil {
		return // the first look goes on
	}
	o := d.known()
	o.Broken = slices.Clone(o.Broken)
	if d.blind != nil {
		o.Darken(d.blind.Error())
	}
	for _, about := range slices.Sorted(maps.Keys(d.troubles)) {
		o.Broken = append(o.Broken, coverage.Broken{Promise: "daemon", Source: about, Text: d.troubles[about]})
	}
	d.tell.overview(o)
}

// known is what the last look saw that saw something; before any did, it is of no time and knows of the tiers that they are configured.
func (d *Daemon) known() coverage.Overview {
	if d.overview != nil {
		return *d.overview
	}
	o := coverage.Overview{Cloud: d.setup.Config.Cloud}
	for _, t := range d.setup.Config.Tiers {
		o.Tiers = append(o.Tiers, coverage.Tier{Tier: t.Name, URL: t.URL})
	}
	return o
}
