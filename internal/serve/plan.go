package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
)

// lateness is after how long a time counts as missed for a job that does not catch up.
const lateness = 10 * time.Minute

// lastOf is up to when the times of a job were seen to.
func (d *Daemon) lastOf(j planned, now time.Time) time.Time {
	s, ok := d.st.Jobs[j.Name]
	if !ok || s.When != j.When { // new, or its times are others now
		s = seen{j.When, now}
	}
	s.Last = j.plan.Sane(s.Last, now)
	d.st.Jobs[j.Name] = s
	return s.Last
}

// enqueueDue queues the jobs that are due and have no run yet.
func (d *Daemon) enqueueDue(now time.Time) {
	type one struct {
		planned
		due    time.Time
		missed int
	}
	var all []one
	for _, j := range d.jobs {
		due, missed := j.plan.Due(d.lastOf(j, now), now)
		if due.IsZero() || d.st.active(j.Name) != nil || j.plan.Start(now).After(now) {
			continue
		}
		all = append(all, one{j, due, missed})
	}
	slices.SortStableFunc(all, func(a, b one) int { return a.due.Compare(b.due) })
	for _, j := range all {
		late := now.Sub(j.plan.Start(j.due))
		d.st.Jobs[j.Name] = seen{j.When, j.due}
		if !j.CatchUp && late > lateness {
			d.opts.Say(fmt.Sprintf("job %s was due at %s, which was missed; it does not catch up", j.Name, j.due.UTC().Format(time.RFC3339)))
			d.changed()
			continue
		}
		why := "schedule"
		if late > lateness || j.missed > 1 {
			why = "missed"
		}
		d.enqueue(&Run{Job: j.Name, Why: why, Due: j.due, Steps: job.Of(d.setup.Config, j.Job).Steps, Try: 1})
	}
}

// enqueueTries queues what failed and is to be tried again.
func (d *Daemon) enqueueTries(now time.Time) {
	for i := 0; i < len(d.st.Tries); i++ {
		t := &d.st.Tries[i]
		if t.At.Sub(now) > 2*t.Wait { // the clock was set back
			t.At = now.Add(t.Wait)
		}
		if t.At.After(now) || d.st.active(t.Job) != nil {
			continue
		}
		run := &Run{Job: t.Job, Why: "again", Due: t.Due, Steps: t.Steps, Try: t.Try}
		d.st.Tries = slices.Delete(d.st.Tries, i, i+1)
		i--
		d.enqueue(run)
	}
}

// enqueue takes a run into the queue, which is written before it begins.
func (d *Daemon) enqueue(r *Run) {
	if r.ID == "" {
		r.ID = strings.ToLower(rand.Text()[:8])
	}
	if r.Queued.IsZero() {
		r.Queued = d.opts.Now().UTC()
	}
	d.st.Runs = append(d.st.Runs, r)
	d.start(r)
}

// start lets a run of the queue wait for its turn and begin.
func (d *Daemon) start(r *Run) {
	r.ticket = d.gate.ask(r, r.step().Uses)
	d.changed()
	ctx, stop := context.WithCancel(d.root)
	r.stop = stop
	d.working.Go(func() { d.do(ctx, r) })
}

// again plans that the part of a chain that failed is done once more, where that is wanted, and returns when.
func (d *Daemon) again(r *Run, res job.Result) time.Time {
	policy, ok := d.policy(r.Job, r.step(), res)
	if !ok {
		return time.Time{}
	}
	part := job.Part(r.Steps, r.Next)
	if i := d.pending(r.step()); i >= 0 {
		d.st.Tries[i].join(part)
		return d.st.Tries[i].At
	}
	wait := policy.After
	for n := 1; n < r.Try && wait < policy.Most; n++ {
		wait *= 2
	}
	wait = min(wait, max(policy.Most, policy.After))
	t := Try{Job: r.Job, Steps: part, Due: r.Due, At: d.opts.Now().UTC().Add(wait), Wait: wait, Try: r.Try + 1}
	d.st.Tries = append(d.st.Tries, t)
	return t.At
}

// pending is the place of a try that leaves nothing to do of a step.
func (d *Daemon) pending(s job.Step) int {
	return slices.IndexFunc(d.st.Tries, func(t Try) bool { return covers(t.Steps[0], s) })
}

// join adds to a try what it lacks of other steps: before it removes anything, if they do not remove themselves.
func (t *Try) join(steps []job.Step) {
	removes := func(s job.Step) bool { return s.Verb() == "prune" }
	for _, s := range steps {
		if slices.ContainsFunc(t.Steps, func(of job.Step) bool { return covers(of, s) }) {
			continue
		}
		at := slices.IndexFunc(t.Steps, removes)
		if at < 0 || removes(s) {
			at = len(t.Steps)
		}
		t.Steps = slices.Insert(t.Steps, at, s)
	}
}

// covers reports whether a step that is done leaves nothing to do of another.
func covers(s, other job.Step) bool {
	return s.Verb() == other.Verb() && job.Aim(s.Args) == job.Aim(other.Args) && !slices.ContainsFunc(other.Uses, func(u string) bool { return !slices.Contains(s.Uses, u) })
}

// policy says whether and when a failure is tried again: at a tier by the tier's rule, else by the job's.
func (d *Daemon) policy(name string, s job.Step, res job.Result) (p config.Retry, ok bool) {
	if name == "" || slices.Contains([]string{"usage", "interrupted", "damage"}, res.Kind) {
		return p, false
	}
	passes := res.Kind == "unreachable" || res.Kind == "busy"
	if tiers := s.Tiers(); len(tiers) > 0 && (s.Verb() == "replicate" || passes) {
		for _, t := range d.setup.Config.Tiers {
			if slices.Contains(tiers, t.Name) {
				p = t.Retry
			}
		}
		return p, p.After > 0
	}
	if j, known := d.job(name); known && len(s.Tiers()) == 0 {
		p = j.Retry
	}
	return p, p.After > 0
}

// settle takes from the tries of what was done now what the run has done and is about to do. What else was to follow is due at once.
func (d *Daemon) settle(r *Run) {
	done := func(s job.Step) bool {
		return slices.ContainsFunc(r.Steps[r.Next:], func(of job.Step) bool { return covers(of, s) })
	}
	d.st.Tries = slices.DeleteFunc(d.st.Tries, func(t Try) bool {
		return covers(r.step(), t.Steps[0]) && !slices.ContainsFunc(t.Steps, func(s job.Step) bool { return !done(s) })
	})
	for i := range d.st.Tries {
		if t := &d.st.Tries[i]; covers(r.step(), t.Steps[0]) {
			t.Steps, t.At = slices.DeleteFunc(slices.Clone(t.Steps), done), d.opts.Now().UTC()
		}
	}
}

// rebuildFrom takes the last time of each job from what the tiers hold. Of what they do not tell, times from now on count.
func (d *Daemon) rebuildFrom(o *coverage.Overview) {
	now := d.opts.Now()
	for _, j := range d.jobs {
		last := now
		if o != nil {
			if at := lastIn(o, job.Of(d.setup.Config, j.Job)); !at.IsZero() {
				last = at
			}
		}
		d.st.Jobs[j.Name] = seen{j.When, last}
	}
	d.rebuild = false
}

// lastIn is when a job was last done, as far as the points tell: of a backup when the oldest of its sources was captured, of a
// replication what its tier has, of a drill when one was.
func lastIn(o *coverage.Overview, j job.Job) (last time.Time) {
	for _, s := range j.Steps {
		switch s.Verb() {
		case "backup":
			for i, source := range s.Sources() {
				at := newest(o, func(c coverage.Component) *time.Time {
					if c.Source != source {
						return nil
					}
					return c.At
				})
				if i == 0 || at.Before(last) {
					last = at
				}
			}
			return last
		case "replicate":
			return newest(o, func(c coverage.Component) *time.Time { return inTier(c, s.Tiers()) })
		case "drill":
			return newest(o, func(c coverage.Component) *time.Time { return c.Drilled })
		}
	}
	return last
}

func inTier(c coverage.Component, tiers []string) *time.Time {
	for _, held := range c.Tiers {
		if slices.Contains(tiers, held.Tier) {
			return held.At
		}
	}
	return nil
}

func newest(o *coverage.Overview, of func(coverage.Component) *time.Time) (last time.Time) {
	for _, c := range o.Components {
		if at := of(c); at != nil && at.After(last) {
			last = *at
		}
	}
	return last
}
