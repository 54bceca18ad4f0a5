// Package report shows an operator what happens: live bars on a terminal, plain lines elsewhere, JSON lines for
// programs, and tables of what was done. It listens to events and never influences the work.
package report

import (
	"time"

	"holdfast/internal/event"
)

// window is how far back the rate looks: long enough to be calm, short enough to tell a stall.
const window = 10 * time.Second

// row is what is known of one component.
type row struct {
	source, name, host string
	phase              phase
	state, reason      string
	read, fresh, total int64
	began              time.Time
	took               time.Duration
	past               []sample
}

type phase int

const (
	waiting phase = iota
	running
	finished
)

// sample is how many bytes had been read at a time.
type sample struct {
	at   time.Time
	read int64
}

func (r *row) label() string {
	switch {
	case r.source == "" || r.source == r.name:
		return clean(r.name)
	case r.name == "":
		return clean(r.source)
	}
	return clean(r.source + " " + r.name)
}

// rate is bytes per second over the window, 0 when unknown.
func (r *row) rate(now time.Time) float64 {
	if r.phase == finished {
		return perSecond(r.read, r.took)
	}
	if r.phase == waiting || len(r.past) == 0 {
		return 0
	}
	oldest := r.past[0]
	return perSecond(r.read-oldest.read, now.Sub(oldest.at))
}

func perSecond(bytes int64, d time.Duration) float64 {
	if bytes <= 0 || d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}

// left is the time that remains at this rate, and whether it can be told.
func (r *row) left(now time.Time) (time.Duration, bool) {
	rate := r.rate(now)
	if r.phase != running || rate <= 0 || r.total <= r.read {
		return 0, false
	}
	return seconds(float64(r.total-r.read) / rate), true
}

// remember keeps samples a tenth of the window apart and forgets those that are older than it.
func (r *row) remember(now time.Time) {
	if n := len(r.past); n == 0 || now.Sub(r.past[n-1].at) >= window/10 {
		r.past = append(r.past, sample{now, r.read})
	}
	for len(r.past) > 1 && now.Sub(r.past[0].at) > window {
		r.past = r.past[1:]
	}
}

// board is the state of a run, built from its events alone.
type board struct {
	rows  []*row
	index map[string]*row
	began time.Time
	ended time.Time // zero while it runs
}

func newBoard() *board { return &board{index: map[string]*row{}} }

// apply takes one event in and returns the row it concerns, nil for those of the whole run.
func (b *board) apply(e event.Event) *row {
	if b.began.IsZero() {
		b.began = e.Time
	}
	switch e.Kind {
	case event.RunFinished:
		b.ended = e.Time
		return nil
	case event.RunStarted:
		b.began = e.Time
		return nil
	}
	if e.Component == "" {
		return nil
	}
	r := b.row(e)
	r.apply(e)
	return r
}

// row finds the row of a component, or adds it.
func (b *board) row(e event.Event) *row {
	key := e.Source + "\x00" + e.Component
	r := b.index[key]
	if r == nil {
		r = &row{source: e.Source, name: e.Component}
		b.index[key] = r
		b.rows = append(b.rows, r)
	}
	return r
}

func (r *row) apply(e event.Event) {
	if e.Host != "" {
		r.host = e.Host
	}
	if e.Total > 0 {
		r.total = e.Total
	}
	switch e.Kind {
	case event.Planned:
		r.phase = waiting
	case event.Started:
		*r = row{source: r.source, name: r.name, host: r.host, total: r.total, phase: running, began: e.Time}
		r.remember(e.Time)
	case event.Progress:
		if r.phase == finished {
			return // a reader that was slow to tell
		}
		if r.phase == waiting {
			r.phase, r.began = running, e.Time
		}
		r.read, r.fresh = max(r.read, e.Bytes), max(r.fresh, e.New)
		r.remember(e.Time)
	case event.Finished:
		r.phase, r.state, r.reason = finished, e.State, e.Text
		r.read, r.fresh = max(r.read, e.Bytes), max(r.fresh, e.New)
		r.took = seconds(e.Seconds)
		if e.Seconds == 0 && !r.began.IsZero() {
			r.took = e.Time.Sub(r.began)
		}
	}
}

// total adds all rows up. Its total is known only when that of every row is; a finished row counts as what it read.
func (b *board) total() row {
	sum := row{name: "total", phase: running, began: b.began}
	known := true
	for _, r := range b.rows {
		sum.read += r.read
		sum.fresh += r.fresh
		switch {
		case r.phase == finished:
			sum.total += r.read
		case r.total > 0:
			sum.total += max(r.total, r.read)
		default:
			known = false
		}
	}
	if !known {
		sum.total = 0
	}
	return sum
}

// passed is how long the run has gone on, or went on.
func (b *board) passed(now time.Time) time.Duration {
	if !b.ended.IsZero() {
		now = b.ended
	}
	return now.Sub(b.began)
}

// count tells how many rows are in each phase.
func (b *board) count() (waits, runs, done int) {
	for _, r := range b.rows {
		switch r.phase {
		case waiting:
			waits++
		case running:
			runs++
		default:
			done++
		}
	}
	return waits, runs, done
}
