package notify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/durable"
)

var errNoPing = errors.New("the URL of the ping is not one: check notify.ping")

// Status is how it stands with one way of telling.
type Status struct {
	Way       string    `json:"way"` // mail:RECIPIENT, webhook or ping
	Pending   int       `json:"pending"`
	Delivered int64     `json:"delivered"`
	Failures  int64     `json:"failures"`
	Sent      time.Time `json:"sent,omitzero"`  // when it last worked
	Error     string    `json:"error"`          // why it does not now, "" when it does
	Since     time.Time `json:"since,omitzero"` // when that began
	Next      time.Time `json:"next,omitzero"`  // when it is tried again
}

// Status tells how it stands with every way that is configured, by name.
func (t *Teller) Status() []Status {
	s, err := t.read()
	all := s.status()
	t.writing.Lock()
	lost, since := t.lost, t.since
	if err == nil {
		t.unread = time.Time{}
	} else if t.unread.IsZero() {
		t.unread = t.now()
	}
	if lost == nil {
		lost, since = err, t.unread
	}
	t.writing.Unlock()
	if lost != nil {
		all = append(all, Status{Way: "state", Error: t.tellable(lost), Since: since})
	}
	return all
}

// Look tells the same of the directory of a teller, which may be another process.
func Look(dir string) ([]Status, error) {
	s, err := durable.Read[state](stateFile(dir))
	return s.status(), err
}

func (s state) status() []Status {
	all := []Status{}
	for _, name := range slices.Sorted(maps.Keys(s.Boxes)) {
		b := s.Boxes[name]
		n := len(b.News) + b.More
		if b.Sealed != nil {
			n += len(b.Sealed.News) + b.Sealed.More
		}
		all = append(all, Status{name, n, b.Delivered, b.Failures, b.Sent, b.Error, b.Since, b.Next})
	}
	return all
}

// Tried is what came of a test of one way.
type Tried struct {
	Way   string        `json:"way"`
	Took  time.Duration `json:"took"`
	Error string        `json:"error"` // "" when it was taken
	Hint  string        `json:"hint,omitempty"`
}

// Test sends a message by every way at once, past the outbox, and tells what came of it.
func (t *Teller) Test(ctx context.Context) []Tried {
	t.learn(ctx, true)
	n := item{
		Kind: trial, Key: trial, First: t.now(), Last: t.now(), Count: 1, Title: "test: this is how you are told",
		Text: "Somebody ran holdfast notify test. Nothing is wrong.", Next: "nothing",
	}
	m := t.compose(box{News: []item{n}}, nil)
	var all []Tried
	for _, w := range t.ways {
		all = append(all, t.try(w.name(), func() error { return w.send(ctx, m) }))
	}
	if p := t.cfg.Ping; p != nil {
		jobs := []string{""}
		if p.URL.IsZero() {
			jobs = nil
		}
		for _, name := range append(jobs, slices.Sorted(maps.Keys(p.Jobs))...) {
			all = append(all, t.try(strings.TrimSuffix(pingName+":"+name, ":"), func() error { return t.pings.send(ctx, ping{job: name}) }))
		}
	}
	return all
}

func (t *Teller) try(name string, send func() error) Tried {
	began := time.Now()
	err := send()
	x := Tried{Way: name, Took: time.Since(began), Error: t.tellable(err)}
	if err != nil {
		x.Hint = hint(name)
	}
	return x
}

func hint(way string) string {
	kind, _, _ := strings.Cut(way, ":")
	return "check notify." + kind + " in holdfast.yml, and whether this host reaches the server"
}

// learn fetches every secret that telling needs, so that none is told; what cannot be fetched is said when it is needed. Those of
// commands may take a while.
func (t *Teller) learn(ctx context.Context, commands bool) {
	for _, ref := range t.cfg.Secrets() {
		if commands || ref.Command == "" {
			t.resolve(ctx, ref, "secret")
		}
	}
}
