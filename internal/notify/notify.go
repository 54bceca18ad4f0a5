// Package notify tells people what came of what Holdfast does by itself: by mail, by a webhook and by a dead man's switch. What is
// to be told is kept in an outbox until it was taken, so that neither a kill nor a mail server that is down for a day loses
// it; telling never stops what it tells of.
package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/durable"
	"holdfast/internal/job"
	"holdfast/internal/secret"
)

// linger is how long news waits for more of the same run, so that they share a message.
const linger = 2 * time.Second

// Teller takes what happened and tells it.
type Teller struct {
	cfg   config.Notify
	cloud string
	host  string
	dir   string
	now   func() time.Time
	warn  func(text string)
	ways  []way
	pings *pings
	wake  chan struct{}

	mu       sync.Mutex
	overview *coverage.Overview // the latest
	secrets  []secret.Secret    // that were used, and must not be told
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	writing sync.Mutex
	memory  *state    // what could not be written, nil when all could
	lost    error     // why,
	since   time.Time // and since when
	unread  time.Time // since when it cannot even be read
}

// way is one place that messages go to.
type way interface {
	name() string // in the state: mail:ops@example.org
	// send hands a message over. An error that is no doubtful one says that it was not taken.
	send(ctx context.Context, m message) error
}

// New makes a teller for a configuration, whose outbox is in STATE/notify. What keeps it from telling is said to warn, which may be
// nil, and stands in Status.
func New(cfg *config.Config, now func() time.Time, warn func(text string)) *Teller {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if warn == nil {
		warn = func(string) {}
	}
	t := &Teller{
		cfg: cfg.Notify, cloud: cfg.Cloud, host: host, dir: Dir(cfg.State), now: now, warn: warn,
		wake: make(chan struct{}, 1), dial: new(net.Dialer).DialContext,
	}
	if m := cfg.Notify.Mail; m != nil {
		for _, to := range m.To {
			t.ways = append(t.ways, &mailWay{t, *m, to})
		}
	}
	if w := cfg.Notify.Webhook; w != nil {
		t.ways = append(t.ways, &webhook{t, *w})
	}
	t.pings = newPings(t)
	if t.configured() {
		t.learn(context.Background(), false)
		t.update(t.open)
	}
	return t
}

// Dir is where a state directory keeps what is to be told.
func Dir(state string) string { return filepath.Join(state, "notify") }

func (t *Teller) configured() bool { return len(t.ways) > 0 || t.cfg.Ping != nil }

// update changes what is remembered. Where that cannot be written, as on a full disk, it is kept in memory until it can: telling is
// never as needed as then.
func (t *Teller) update(do func(s *state)) {
	t.writing.Lock()
	defer t.writing.Unlock()
	err := durable.Update(stateFile(t.dir), func(s *state) error {
		if t.memory != nil {
			*s = *t.memory
		}
		s.fill()
		do(s)
		return nil
	})
	if err != nil && t.memory == nil {
		s, readErr := durable.Read[state](stateFile(t.dir))
		if t.memory = &s; readErr != nil {
			t.memory = &state{}
		}
		t.warn(fmt.Sprintf("what is to be told is kept in memory alone: %v", err))
	}
	if err != nil && t.lost == nil {
		t.since = t.now()
	}
	if t.lost = err; err == nil {
		t.memory = nil
		return
	}
	t.memory.fill()
	do(t.memory)
}

// read returns what is remembered.
func (t *Teller) read() (s state, err error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.memory == nil {
		s, err = durable.Read[state](stateFile(t.dir))
		s.fill()
		return s, err
	}
	data, err := json.Marshal(t.memory)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	s.fill()
	return s, err
}

// open makes a box for each way that is configured.
func (t *Teller) open(s *state) {
	for _, w := range t.ways {
		s.box(w.name())
	}
	if t.cfg.Ping != nil {
		s.box(pingName)
	}
}

// begin drops the boxes of ways that are configured no more: who never had a message is told what they were not.
func (t *Teller) begin(s *state) {
	now := t.now()
	if s.Digested.IsZero() {
		s.Digested = now
	}
	old := s.Boxes
	s.Boxes = map[string]*box{}
	if t.cfg.Ping != nil {
		s.Boxes[pingName] = old[pingName]
	}
	for _, w := range t.ways {
		s.Boxes[w.name()] = old[w.name()]
	}
	maps.DeleteFunc(s.Boxes, func(_ string, b *box) bool { return b == nil })
	t.open(s)
	for name, b := range old {
		if s.Boxes[name] == nil {
			b.unseal()
			for _, w := range t.ways {
				b.pass(s.box(w.name()))
			}
		}
	}
	s.forget(now)
}

// Begin says that a run of a job begins: the dead man's switch is told so.
func (t *Teller) Begin(jobName, _ string) { t.pings.begin(jobName); t.stir() }

// Result takes what came of a step.
func (t *Teller) Result(r job.Result) {
	if !t.configured() {
		return
	}
	r.Error, r.Hint = t.brief(r.Error), t.brief(r.Hint)
	t.update(func(s *state) {
		s.note(r, t.now())
		t.post(s, s.judge(r, t.now()))
	})
	t.stir()
}

// End says that a run of a job has ended: the dead man's switch is told how, by the results of its steps.
func (t *Teller) End(jobName, run string) { t.pings.end(jobName, run); t.stir() }

// Overview takes how well the cloud is protected: promises that are broken since the last time, and those that are kept again, are news.
func (t *Teller) Overview(o coverage.Overview) {
	t.cleanOverview(&o)
	t.mu.Lock()
	t.overview = &o
	t.mu.Unlock()
	if !t.configured() {
		return
	}
	if known, err := t.read(); err == nil && len(known.compare(o, t.now())) == 0 {
		return // most of the time; nothing is written
	}
	t.update(func(s *state) { t.post(s, s.compare(o, t.now())) })
	t.stir()
}

// post puts news into every box, if they are asked for.
func (t *Teller) post(s *state, news []item) {
	for _, n := range news {
		if !slices.Contains(t.cfg.On, n.Kind) {
			continue
		}
		for _, w := range t.ways {
			s.box(w.name()).add(n)
		}
	}
}

// stir has Run look at once.
func (t *Teller) stir() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
