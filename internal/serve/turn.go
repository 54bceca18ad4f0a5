package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"holdfast/internal/job"
	"holdfast/internal/problem"
)

// Ask is a command that wants its turn.
type Ask struct {
	Job    string   `json:"job,omitempty"` // that it is a step of, in the foreground
	Args   []string `json:"args"`
	Uses   []string `json:"uses"`
	NoWait bool     `json:"no_wait"`
}

// turn is the place of a command in the queue.
type turn struct {
	job    string
	ended  bool            // its result is known
	cancel context.Context // ended by an operator
}

// Turn takes a place in the queue for a command and waits until it is its turn; behind is told what it waits for. The turn ends
// with Leave, after End if the command could say what came of it.
func (d *Daemon) Turn(ctx context.Context, ask Ask, behind func(string)) (*Run, error) {
	d.mu.Lock()
	canceled, stop := context.WithCancel(ctx)
	r := &Run{
		ID: strings.ToLower(rand.Text()[:8]), Why: "command", Steps: []job.Step{{Args: ask.Args, Uses: ask.Uses}}, Queued: d.opts.Now().UTC(), Try: 1,
		turn: &turn{job: ask.Job, cancel: canceled}, stop: stop,
	}
	d.st.Runs = append(d.st.Runs, r)
	r.ticket = d.gate.ask(r, ask.Uses)
	last := ""
	if !r.ticket.mine {
		last = d.behind(r.ticket)
	}
	d.changed()
	d.mu.Unlock()
	if last != "" && ask.NoWait {
		d.Leave(r)
		return nil, problem.New(problem.Busy, "holdfast queue shows what goes on; without --no-wait the command waits for its turn", "its turn is behind %s", last)
	}
	if last != "" {
		behind(last)
	}
	select {
	case <-r.ticket.open:
	case <-canceled.Done():
		d.Leave(r)
		return nil, problem.New(problem.Interrupted, "", "it was taken out of the queue")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Running, r.Began = true, d.opts.Now().UTC()
	d.changed()
	return r, nil
}

// End takes in what came of a command that had its turn.
func (d *Daemon) End(id string, res job.Result) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.find(id)
	if err != nil || r.turn == nil || r.turn.ended {
		return problem.New(problem.NotFound, "holdfast queue lists them", "no command has the turn %s", id)
	}
	r.turn.ended = true
	d.endTurn(r, res)
	return nil
}

func (d *Daemon) endTurn(r *Run, res job.Result) {
	r.Job = r.turn.job
	d.conclude(r, res)
}

// Leave ends the turn of a command. Of one that was at work and has not said what came of it, that is the result.
func (d *Daemon) Leave(r *Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Running && !r.turn.ended {
		res := d.cut(r)
		res.Error, res.Hint = "the command ended without saying how", "run it again"
		d.endTurn(r, res)
	}
	r.stop()
	d.drop(r)
	if r.Running && d.root != nil && d.root.Err() == nil {
		d.look()
	}
}

// drop takes a run out of the queue.
func (d *Daemon) drop(r *Run) {
	d.gate.leave(r.ticket)
	for i, o := range d.st.Runs {
		if o == r {
			d.st.Runs = append(d.st.Runs[:i:i], d.st.Runs[i+1:]...)
			break
		}
	}
	d.changed()
}

// RunNow queues a job at once, and returns its run.
func (d *Daemon) RunNow(name string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j, ok := d.job(name)
	if !ok {
		return "", problem.New(problem.Usage, "the jobs are: "+strings.Join(d.jobNames(), ", "), "there is no job %q", name)
	}
	if r := d.st.active(name); r != nil {
		return "", problem.New(problem.Busy, "holdfast queue shows it; holdfast queue cancel "+r.ID+" stops it", "job %s is in the queue already, as run %s", name, r.ID)
	}
	r := &Run{Job: name, Why: "asked", Steps: job.Of(d.setup.Config, j.Job).Steps, Try: 1}
	d.enqueue(r)
	return r.ID, nil
}

// Cancel stops a run, or takes it out of the queue.
func (d *Daemon) Cancel(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.find(id)
	if err != nil {
		return err
	}
	r.canceled = true
	d.opts.Say(fmt.Sprintf("run %s is stopped as an operator wants it", r.ID))
	r.stop()
	return nil
}

// find returns the run that an id, or its beginning, names.
func (d *Daemon) find(id string) (found *Run, err error) {
	for _, r := range d.st.Runs {
		switch {
		case id == "" || !strings.HasPrefix(r.ID, id):
		case found != nil:
			return nil, problem.New(problem.Usage, "give more of it", "%q names several runs", id)
		default:
			found = r
		}
	}
	if found == nil {
		return nil, problem.New(problem.NotFound, "holdfast queue lists them", "there is no run %q", id)
	}
	return found, nil
}
