package notify

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/report"
)

// message is news in the form in which it leaves, with a name that stays the same however often it is sent.
type message struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Subject string    `json:"subject"`
	Text    string    `json:"text,omitempty"`
	HTML    string    `json:"html,omitempty"`
	JSON    []byte    `json:"json,omitempty"`
	News    []item    `json:"news"` // what it was made of
	More    int       `json:"more,omitempty"`
}

// page is what the templates show.
type page struct {
	Cloud, Host, Subject, At string
	Lead                     string
	Items                    []told
	More                     int
	Digest                   *summary
}

// told is one piece of news in words.
type told struct {
	Kind, Title, When, Text, Again, Next string
	Risk                                 []string
}

// summary is all that is known.
type summary struct {
	Facts   []string
	Work    [][]string
	Broken  []string
	Failing []string
	Table   string
	Head    []string
	Rows    [][]string
	Left    int // components that are not shown, all of which are as promised
}

// manyNews is from how many pieces on a message says all that is known.
const manyNews = 6

// longDown is after how long without delivery it does.
const longDown = time.Hour

// compose makes a message of what a box holds.
func (t *Teller) compose(b box, troubles map[string]*trouble) message {
	now := t.now()
	o := t.latest()
	m := message{ID: newID(), Made: now, News: b.News, More: b.More}
	m.Subject = t.clean(fmt.Sprintf("[holdfast %s] %s", t.cloud, headline(b.News, o)))
	p := page{Cloud: t.cloud, Host: t.host, Subject: m.Subject, At: when(now), More: b.More}
	down := b.Tries > 0 && now.Sub(b.Since) > longDown
	if down {
		p.Lead = fmt.Sprintf("Nothing could be sent here for %s; this is everything since %s.", report.Span(now.Sub(b.Since)), when(b.Since))
	}
	whole := down || len(b.News) >= manyNews
	for _, n := range b.News {
		whole = whole || n.Kind == digest
		if n.Kind != digest {
			p.Items = append(p.Items, t.words(n, o))
		}
	}
	if whole {
		p.Digest = summarize(b.News, o, troubles)
		p.Digest.Facts, p.Digest.Broken, p.Digest.Failing = t.cleanAll(p.Digest.Facts), t.cleanAll(p.Digest.Broken), t.cleanAll(p.Digest.Failing)
	}
	m.Text, m.HTML = renderText(p), renderHTML(p)
	m.JSON = t.body(m, p)
	return m
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (t *Teller) words(n item, o *coverage.Overview) told {
	x := told{Kind: n.Kind, Title: t.clean(n.Title), When: when(n.Last), Text: t.clean(n.Text), Risk: t.cleanAll(risk(n, o)), Next: t.clean(n.Next)}
	if n.Count > 1 {
		x.When = fmt.Sprintf("%s, %d times since %s", x.When, n.Count, when(n.First))
	}
	if n.Job != "" {
		x.When += ", job " + n.Job
	}
	if !n.Again.IsZero() {
		x.Again = "It is tried again by itself at " + when(n.Again) + "."
	}
	return x
}

// headline is a line for a list of mails: the worst of it, and how much there is.
func headline(news []item, o *coverage.Overview) string {
	count, first := map[string]int{}, map[string]item{}
	for _, n := range news {
		if count[n.Kind]++; count[n.Kind] == 1 {
			first[n.Kind] = n
		}
	}
	var parts []string
	for _, k := range []struct{ kind, one, many string }{
		{failure, "failure", "failures"}, {promise, "broken promise", "broken promises"}, {recovery, "recovery", "recoveries"},
	} {
		switch n := count[k.kind]; {
		case n == 1 && len(parts) == 0:
			parts = append(parts, first[k.kind].Title)
		case n == 1:
			parts = append(parts, "1 "+k.one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, k.many))
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case count[trial] > 0:
		return first[trial].Title
	case o == nil:
		return "digest"
	case len(withKit(*o)) == 0:
		return "digest: all promises are kept"
	}
	return fmt.Sprintf("digest: %d broken promises", len(withKit(*o)))
}

// mostRows bounds the table of a mail: what is in trouble comes first.
const mostRows = 40

func summarize(news []item, o *coverage.Overview, troubles map[string]*trouble) *summary {
	s := &summary{}
	for _, n := range news {
		if n.Kind == digest {
			s.Work = work(n.Done)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(troubles)) {
		if x := troubles[key]; !x.Over && !strings.HasPrefix(key, promise+"|") {
			part := strings.Split(key, "|")
			s.Failing = append(s.Failing, fmt.Sprintf("%s since %s%s: %s", strings.Join(strings.Fields(strings.Join(part, " ")), " "), when(x.Since), times(x.Count), x.Text))
		}
	}
	if o == nil {
		s.Facts = []string{unknown}
		return s
	}
	s.Facts = facts(o)
	for _, b := range withKit(*o) {
		s.Broken = append(s.Broken, b.Text)
	}
	s.table(o)
	return s
}

// work is what was done since the last digest, a row per job and step.
func work(done map[string]tally) (rows [][]string) {
	for _, key := range slices.Sorted(maps.Keys(done)) {
		d := done[key]
		rows = append(rows, []string{key, fmt.Sprint(d.Done), fmt.Sprint(d.Failed), report.Size(d.Read), report.Size(d.New)})
	}
	return rows
}

func facts(o *coverage.Overview) []string {
	lines := []string{fmt.Sprintf("%d points, %s in the first tier, as of %s.", o.Points, report.Size(o.Bytes), when(o.At))}
	if o.At.IsZero() {
		lines = []string{unknown}
	}
	for _, t := range o.Tiers {
		line := fmt.Sprintf("Tier %s: %d points", t.Tier, t.Points)
		if t.Capacity > 0 {
			line += fmt.Sprintf(", %s of %s free", report.Size(t.Free), report.Size(t.Capacity))
		}
		if t.LockedUntil != nil {
			line += ", locked until " + t.LockedUntil.UTC().Format(time.DateOnly)
		}
		if t.Verified != nil {
			line += ", verified as a whole " + t.Verified.UTC().Format(time.DateOnly)
		}
		if t.Error != "" {
			line = fmt.Sprintf("Tier %s cannot be opened: %s", t.Tier, t.Error)
		}
		lines = append(lines, line+".")
	}
	return lines
}

func (s *summary) table(o *coverage.Overview) {
	all := slices.Clone(o.Components)
	if len(all) > mostRows {
		slices.SortStableFunc(all, func(a, b coverage.Component) int { return trouble01(b) - trouble01(a) })
		s.Left = len(all) - mostRows
		all = all[:mostRows]
	}
	shown := coverage.Overview{Tiers: o.Tiers, Components: all}
	s.Table, s.Head = shown.Table().String(), shown.Head()
	for _, x := range all {
		s.Rows = append(s.Rows, x.Row())
	}
}

func trouble01(x coverage.Component) int {
	if x.Troubled() {
		return 1
	}
	return 0
}

// body is what a webhook is sent.
func (t *Teller) body(m message, p page) []byte {
	type piece struct {
		item
		Risk []string `json:"risk"`
	}
	all := []piece{}
	for _, n := range m.News {
		n.Title, n.Text, n.Next = t.clean(n.Title), t.clean(n.Text), t.clean(n.Next)
		all = append(all, piece{n, t.cleanAll(risk(n, t.latest()))})
	}
	data, err := json.Marshal(map[string]any{
		"id": m.ID, "cloud": t.cloud, "host": t.host, "at": m.Made, "subject": m.Subject, "text": m.Text, "news": all, "more": p.More,
	})
	if err != nil {
		return fmt.Appendf(nil, "{%q: %q}", "error", "the news cannot be written")
	}
	return data
}

func (t *Teller) latest() *coverage.Overview {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overview
}
