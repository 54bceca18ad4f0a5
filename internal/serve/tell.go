package serve

import (
	"context"
	"sync"
	"time"

	"holdfast/internal/coverage"
)

// teller tells the listeners in the order in which things happen, and makes nobody wait for them.
type teller struct {
	mu        sync.Mutex
	listeners []Listener
	news      []func(Listener) // of which queues and overviews that a newer one replaces are nil
	after     []func()         // done when the one at the same place was told
	last      [2]int           // places of the newest queue and overview that wait, counted from 1
	seq       int              // of the newest result that was told
	some      chan struct{}
	busy      bool
}

func (t *teller) to(all []Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners = all
	if t.some == nil {
		t.some = make(chan struct{}, 1)
	}
}

// say queues news; of a kind above 0 only the newest counts.
func (t *teller) say(kind int, news func(Listener), after func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind > 0 {
		if at := t.last[kind-1]; at > 0 {
			t.news[at-1] = nil
		}
		t.last[kind-1] = len(t.news) + 1
	}
	t.news, t.after = append(t.news, news), append(t.after, after)
	select {
	case t.some <- struct{}{}:
	default:
	}
}

func (t *teller) queue(q Queue)                { t.say(1, func(l Listener) { l.Queue(q) }, nil) }
func (t *teller) overview(o coverage.Overview) { t.say(2, func(l Listener) { l.Overview(o) }, nil) }

// begins and ends tell of runs of jobs; what an operator types is none.
func (t *teller) begins(r *Run) {
	if job, run := r.Job, r.ID; job != "" {
		t.say(0, func(l Listener) { l.Begins(job, run) }, nil)
	}
}

func (t *teller) ends(r *Run) {
	if job, run := r.Job, r.ID; job != "" {
		t.say(0, func(l Listener) { l.Ends(job, run) }, nil)
	}
}

func (t *teller) result(r told) {
	t.say(0, func(l Listener) { l.Result(r.Result) }, func() { t.mark(r.Seq) })
}

// mark notes up to which result the listeners know.
func (t *teller) mark(seq int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq = max(t.seq, seq)
}

func (t *teller) told() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}

// work tells the news until ctx ends.
func (t *teller) work(ctx context.Context) {
	for {
		news, after, listeners := t.take()
		for i, one := range news {
			for _, l := range listeners {
				if one != nil {
					one(l)
				}
			}
			if after[i] != nil {
				after[i]()
			}
		}
		if len(news) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-t.some:
		}
	}
}

func (t *teller) take() (news []func(Listener), after []func(), listeners []Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news, after = t.news, t.after
	t.news, t.after, t.last, t.busy = nil, nil, [2]int{}, len(news) > 0
	return news, after, t.listeners
}

// drain waits until all news were told, but not for ever.
func (t *teller) drain(longest time.Duration) {
	idle := func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return len(t.news) == 0 && !t.busy
	}
	for end := time.After(longest); !idle(); {
		select {
		case <-end:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
