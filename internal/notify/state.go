package notify

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/job"
)

// The kinds of news, as the configuration names them.
const (
	failure  = "failure"
	promise  = "promise"
	recovery = "recovery"
	digest   = "digest"
	trial    = "test"
)

// state is what survives: what is wrong and was told, and what is still to be told to whom.
type state struct {
	Troubles map[string]*trouble `json:"troubles"`
	Digested time.Time           `json:"digested"` // when the last digest was due
	Done     map[string]tally    `json:"done"`     // since then, by job and step
	Boxes    map[string]*box     `json:"boxes"`
	Runs     map[string]stumble  `json:"runs,omitempty"` // of jobs that go on, those in which something failed
}

// stumble is the first step of a run that failed.
type stumble struct {
	Step string    `json:"step"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// trouble is something that does not work, or did not until lately.
type trouble struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"` // beginning of the newest run that says so
	Told  time.Time `json:"told"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Over  bool      `json:"over,omitempty"`
	Count int       `json:"count"`
}

// tally counts what was done.
type tally struct {
	Done   int   `json:"done"`
	Failed int   `json:"failed"`
	Read   int64 `json:"read"`
	New    int64 `json:"new"`
}

// item is one piece of news.
type item struct {
	Kind    string           `json:"kind"`
	Key     string           `json:"key"`
	First   time.Time        `json:"first"`
	Last    time.Time        `json:"last"`
	Count   int              `json:"count"`
	Title   string           `json:"title"`
	Text    string           `json:"text"`
	Job     string           `json:"job,omitempty"`
	Step    string           `json:"step,omitempty"`
	Run     string           `json:"run,omitempty"`
	Tier    string           `json:"tier,omitempty"`
	Sources []string         `json:"sources,omitempty"`
	Promise string           `json:"promise,omitempty"`
	Problem string           `json:"problem,omitempty"` // its kind
	Again   time.Time        `json:"again,omitzero"`
	Next    string           `json:"next"` // what to do
	Done    map[string]tally `json:"done,omitempty"`
}

// box is the outbox of one way.
type box struct {
	News      []item    `json:"news,omitempty"`
	More      int       `json:"more,omitempty"`   // news for which there was no room
	Sealed    *message  `json:"sealed,omitempty"` // on its way: it may have been taken
	Tries     int       `json:"tries,omitempty"`  // that failed since the last that did not
	Next      time.Time `json:"next,omitzero"`    // when it is tried again
	Since     time.Time `json:"since,omitzero"`   // when the first of Tries failed
	Error     string    `json:"error,omitempty"`
	Sent      time.Time `json:"sent,omitzero"`
	Delivered int64     `json:"delivered"`
	Failures  int64     `json:"failures"`
}

// mostNews bounds a box: what is beyond is only counted.
const mostNews = 200

func stateFile(dir string) string { return filepath.Join(dir, "state.json") }

func (s *state) fill() {
	if s.Troubles == nil {
		s.Troubles = map[string]*trouble{}
	}
	if s.Done == nil {
		s.Done = map[string]tally{}
	}
	if s.Boxes == nil {
		s.Boxes = map[string]*box{}
	}
	if s.Runs == nil {
		s.Runs = map[string]stumble{}
	}
}

// longestRun is for how long it is known of a run whose end nobody tells that a step failed.
const longestRun = 7 * 24 * time.Hour

// note remembers the first failure of a run, until that step is done after all: what was cut off is done again.
func (s *state) note(r job.Result, now time.Time) {
	if r.Job == "" || r.Step() == "status" {
		return
	}
	maps.DeleteFunc(s.Runs, func(_ string, x stumble) bool { return now.Sub(x.At).Abs() > longestRun })
	line := strings.Join(r.Args, " ")
	known, failed := s.Runs[r.Run]
	switch {
	case r.Good() && known.Step == line:
		delete(s.Runs, r.Run)
	case !r.Good() && (!failed || known.Step == line):
		s.Runs[r.Run] = stumble{line, r.Error, now}
	}
}

func (s *state) box(name string) *box {
	if s.Boxes[name] == nil {
		s.Boxes[name] = &box{}
	}
	return s.Boxes[name]
}

// memory is for how long it is known that a trouble is over.
const memory = 90 * 24 * time.Hour

// forget drops what has been over for long.
func (s *state) forget(now time.Time) {
	for key, t := range s.Troubles {
		if t.Over && now.Sub(t.Last) > memory {
			delete(s.Troubles, key)
		}
	}
}

// add puts news into the box, where what it repeats becomes part of it.
func (b *box) add(n item) {
	n.Count = max(n.Count, 1)
	n.First, n.Last = earliest(n.First, n.Last), latest(n.First, n.Last)
	if n.Kind == failure || n.Kind == promise { // it did not last
		b.News = slices.DeleteFunc(b.News, func(o item) bool { return o.Kind == recovery && o.Key == n.Key })
	}
	i := slices.IndexFunc(b.News, func(o item) bool { return o.Kind == n.Kind && o.Key == n.Key })
	switch {
	case i >= 0:
		o := b.News[i]
		n.First, n.Count, n.Done = earliest(o.First, n.First), o.Count+n.Count, sum(o.Done, n.Done)
		b.News[i] = n
	case len(b.News) >= mostNews && n.Kind != digest:
		b.More++
	default:
		b.News = append(b.News, n)
	}
	slices.SortStableFunc(b.News, func(a, b item) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
}

// unseal puts the news of a message that was not taken back, before what came since.
func (b *box) unseal() {
	if b.Sealed == nil {
		return
	}
	later := b.News
	b.News, b.More, b.Sealed = b.Sealed.News, b.More+b.Sealed.More, nil
	for _, n := range later {
		b.add(n)
	}
}

// pass gives the news of a box that nobody looks into any more to one that nothing was sent from yet.
func (b *box) pass(other *box) {
	if !other.Sent.IsZero() {
		return
	}
	for _, n := range b.News {
		if !slices.ContainsFunc(other.News, func(o item) bool { return o.Kind == n.Kind && o.Key == n.Key }) {
			other.add(n)
		}
	}
	other.More += b.More
}

func rank(kind string) int {
	return slices.Index([]string{failure, promise, recovery, digest, trial}, kind)
}

func sum(a, b map[string]tally) map[string]tally {
	if a == nil {
		return b
	}
	for key, x := range b {
		y := a[key]
		a[key] = tally{x.Done + y.Done, x.Failed + y.Failed, x.Read + y.Read, x.New + y.New}
	}
	return a
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) && !b.IsZero() {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
