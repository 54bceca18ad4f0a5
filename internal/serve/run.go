package serve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/job"
)

// mostCuts is how often a run is gone on with that the daemon did not outlive: something in it may be what kills it.
const mostCuts = 3

// grace is how long a step of a daemon that died has to clean up.
const grace = 30 * time.Second

// resume goes on with what the daemon had queued or begun when it ended.
func (d *Daemon) resume() {
	d.tell.mark(d.st.Told)
	for _, t := range d.st.Results {
		if t.Seq > d.st.Told {
			d.tell.result(t)
		}
	}
	runs := d.st.Runs
	d.st.Runs = nil
	for _, r := range runs {
		j, known := d.job(r.Job)
		cut := r.Running
		if cut {
			r.Running = false
			r.Cuts++
		}
		if known && (r.Cuts > 0 && !j.CatchUp || r.Cuts > mostCuts) {
			d.giveUp(r)
			continue
		}
		if !known {
			d.abandon(r)
			continue
		}
		if cut {
			d.conclude(r, d.cut(r))
			r.Earlier = r.Earlier[:len(r.Earlier)-1] // it is done again
		}
		d.enqueue(r)
	}
	if d.overview != nil {
		d.tell.overview(*d.overview)
	}
	d.changed()
}

// giveUp tells as a failure that a run is not gone on with. It is not tried again: the daemon might die of it again.
func (d *Daemon) giveUp(r *Run) {
	res := d.cut(r)
	res.Exit, res.Kind, res.Error = 1, "failed", "given up: the daemon died while it ran"
	if r.Cuts > 1 {
		res.Error += fmt.Sprintf(", %d times in this run", r.Cuts)
	}
	res.Hint = "look for the cause in journalctl -u holdfast, then: holdfast queue run " + r.Job
	d.record(r, res)
	d.tell.ends(r)
}

// abandon tells that a run is not gone on with whose job is configured no more: who was told of its beginning hears of its end, which is
// no good one.
func (d *Daemon) abandon(r *Run) {
	res := d.cut(r)
	res.Started = cmp.Or(res.Started, res.Finished) // it may not have begun
	res.Error, res.Hint = fmt.Sprintf("dropped: there is no job %s any more", r.Job), ""
	d.record(r, res)
	d.tell.ends(r)
}

// cut is the result of a step that the daemon did not see the end of.
func (d *Daemon) cut(r *Run) job.Result {
	s := r.step()
	res := job.Result{Args: s.Args, Sources: s.Sources(), Started: r.Began, Finished: d.opts.Now().UTC(), Exit: 130, Kind: "interrupted",
		Error: "the daemon was killed while it ran", Hint: "it is gone on with if the job catches up; holdfast queue tells"}
	if t := s.Tiers(); len(t) == 1 {
		res.Tier = t[0]
	}
	return res
}

// do does the steps of a run, each when its turn has come.
func (d *Daemon) do(ctx context.Context, r *Run) {
	r.Process.Stop(ctx, grace) // of the daemon before
	d.tell.begins(r)
	for ctx.Err() == nil && r.Next < len(r.Steps) {
		select {
		case <-r.ticket.open:
			d.doStep(ctx, r)
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate.leave(r.ticket)
	r.stop()
	if d.root.Err() != nil && !r.canceled && r.Next < len(r.Steps) { // the daemon stops: the next one goes on
		r.Running = false
		return
	}
	d.st.Runs = slices.DeleteFunc(d.st.Runs, func(o *Run) bool { return o == r })
	d.tell.ends(r)
	d.changed()
	if d.root.Err() == nil {
		d.look()
	}
}

// doStep does the step whose turn it is, and takes a place for the next.
func (d *Daemon) doStep(ctx context.Context, r *Run) {
	d.mu.Lock()
	step := r.step()
	if step.Blocked(r.Earlier) {
		d.opts.Say(fmt.Sprintf("run %s of job %s leaves out %s: what it builds on failed", r.ID, r.Job, strings.Join(step.Args, " ")))
		d.onward(r)
		d.mu.Unlock()
		return
	}
	r.Running, r.Began = true, d.opts.Now().UTC()
	d.changed()
	copied := *r
	d.mu.Unlock()

	res := d.opts.Runner.Step(ctx, copied, step, job.Watch{Began: func(p job.Process) {
		d.mu.Lock()
		defer d.mu.Unlock()
		r.Process = p
		d.save()
	}})

	d.mu.Lock()
	defer d.mu.Unlock()
	r.Process = job.Process{}
	if ctx.Err() != nil && !r.canceled && !res.Good() {
		return // cut off by the daemon's own end: that is no result
	}
	d.conclude(r, res)
	d.onward(r)
}

// conclude takes in what came of a step: what of it is to be tried again, and what no more.
func (d *Daemon) conclude(r *Run, res job.Result) {
	if res.Good() {
		d.settle(r)
	} else {
		res.Again = d.again(r, res)
	}
	d.record(r, res)
}

// record remembers and tells what came of a step.
func (d *Daemon) record(r *Run, res job.Result) {
	res.Run, res.Job, res.Due, res.Try = r.ID, r.Job, r.Due, r.Try
	r.Earlier = append(r.Earlier, res)
	d.st.add(res)
	d.tell.result(d.st.Results[len(d.st.Results)-1])
	if !res.Good() {
		text := fmt.Sprintf("%s of run %s ended with %d: %s", strings.Join(res.Args, " "), r.ID, res.Exit, res.Error)
		if !res.Again.IsZero() {
			text += ", and is tried again at " + res.Again.Format(time.RFC3339)
		}
		d.opts.Say(text)
	}
}

// onward moves a run to its next step.
func (d *Daemon) onward(r *Run) {
	r.Running = false
	r.Next++
	d.gate.leave(r.ticket)
	if r.Next < len(r.Steps) && !r.canceled {
		r.ticket = d.gate.ask(r, r.step().Uses)
	}
	d.changed()
}

// look learns from the tiers what is protected. One look at a time: what asks for another while one goes on has it afterwards.
func (d *Daemon) look() {
	if d.looking {
		d.lookNext = true
		return
	}
	d.looking, d.lookNext = true, false
	ctx, cancel := context.WithTimeout(d.root, longestLook)
	d.working.Go(func() {
		defer cancel()
		o, err := d.opts.Runner.Overview(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.looking, d.looked = false, d.opts.Now()
		if d.root.Err() != nil {
			return
		}
		d.saw(o, err)
		if d.lookNext {
			d.look()
		}
	})
}

// longestLook is how long a look at all tiers may take.
const longestLook = 30 * time.Minute
