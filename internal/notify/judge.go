package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/job"
)

// reminder is after how long it is told again that something still fails: each night, for what runs once a night.
const reminder = 20 * time.Hour

// judge remembers a result and returns what is new about it: what fails is told at once, again when it fails in another way or for
// long, and once more when it works again. What an operator typed was told on the terminal, unless it found damage.
func (s *state) judge(r job.Result, now time.Time) []item {
	verb := r.Step()
	if r.Kind == "interrupted" || verb == "status" || r.Job == "" && !r.Good() && r.Kind != "damage" {
		return nil // who stopped it knows; what status finds comes as an overview
	}
	s.count(r)
	if r.Good() {
		return s.recovered(r, now)
	}
	key := resultKey(r.Job, r)
	t := s.Troubles[key]
	if t != nil && !r.Started.After(t.Last) && !t.Last.After(now) {
		return nil // told already
	}
	if t == nil || t.Over {
		t = &trouble{Since: r.Started}
		s.Troubles[key] = t
	}
	again := t.Count > 0 && t.Kind == r.Kind && now.Sub(t.Told) < reminder && !t.Told.After(now)
	t.Last, t.Kind, t.Text = r.Started, r.Kind, r.Error
	t.Count++
	if again {
		return nil
	}
	t.Told = now
	return []item{failed(r, key, *t, now)}
}

// resultKey names what a result is about, for as long as that is done again and again.
func resultKey(jobName string, r job.Result) string {
	key := strings.Join([]string{jobName, r.Step(), r.Tier, strings.Join(slices.Sorted(slices.Values(r.Sources)), "+")}, "|")
	if job.Aim(r.Args) != "" {
		key += "|" + strings.Join(r.Args, " ")
	}
	return key
}

func (s *state) count(r job.Result) {
	key := strings.TrimSpace(r.Job + " " + r.Step())
	if r.Tier != "" {
		key += " " + r.Tier
	}
	t := tally{Read: r.Read, New: r.New, Done: 1}
	if !r.Good() {
		t.Done, t.Failed = 0, 1
	}
	s.Done = sum(s.Done, map[string]tally{key: t})
}

// recovered ends the troubles that a good result disproves: its own, and, of what an operator did by hand, those of every job.
func (s *state) recovered(r job.Result, now time.Time) (news []item) {
	for key, t := range s.Troubles {
		if t.Over || r.Started.Before(t.Last) && !t.Last.After(now) || !disproves(r, key) {
			continue
		}
		t.Over, t.Last = true, r.Started
		jobName, _, _ := strings.Cut(key, "|")
		news = append(news, item{
			Kind: recovery, Key: key, First: r.Finished, Last: r.Finished, Job: jobName, Step: r.Step(), Run: r.Run, Tier: r.Tier, Sources: r.Sources,
			Title: "works again: " + strings.Join(r.Args, " "),
			Text:  fmt.Sprintf("It had failed since %s%s, and was done at %s.", when(t.Since), times(t.Count), when(r.Finished)),
			Next:  "holdfast status",
		})
	}
	slices.SortFunc(news, func(a, b item) int { return strings.Compare(a.Key, b.Key) })
	return news
}

func disproves(r job.Result, key string) bool {
	if r.Job != "" {
		return key == resultKey(r.Job, r)
	}
	part := strings.SplitN(key, "|", 5)
	if len(part) < 4 || part[0] == promise || part[1] != r.Step() || part[2] != r.Tier {
		return false
	}
	aim := "" // what one found in one place, or did not do as a whole, another one that aims elsewhere says nothing of
	if len(part) == 5 {
		aim = job.Aim(strings.Fields(part[4]))
	}
	if aim != job.Aim(r.Args) {
		return false
	}
	for _, source := range strings.Split(part[3], "+") {
		if len(r.Sources) > 0 && !slices.Contains(r.Sources, source) {
			return false
		}
	}
	return true
}

// failed is the news of a step that was not done.
func failed(r job.Result, key string, t trouble, now time.Time) item {
	text := r.Error
	if text == "" {
		text = fmt.Sprintf("it ended with exit code %d", r.Exit)
	}
	if t.Count > 1 {
		text = fmt.Sprintf("%s (it has failed since %s%s)", text, when(t.Since), times(t.Count))
	}
	next := "holdfast " + strings.Join(r.Args, " ")
	if r.Hint != "" && strings.Contains(r.Hint, "holdfast ") {
		next = r.Hint
	} else if r.Hint != "" {
		next = r.Hint + ", then: " + next
	}
	title := "failed: "
	switch r.Kind {
	case "partial":
		title = "only partly done: "
	case "damage":
		title = "found damage: "
	}
	return item{
		Kind: failure, Key: key, First: r.Finished, Last: r.Finished, Title: title + strings.Join(r.Args, " "), Text: text,
		Job: r.Job, Step: r.Step(), Run: r.Run, Tier: r.Tier, Sources: r.Sources, Problem: r.Kind, Again: r.Again, Next: next,
	}
}

func brokenKey(b coverage.Broken) string {
	return strings.Join([]string{promise, b.Promise, b.Tier, b.Source}, "|")
}

// compare remembers which promises are broken and returns what changed. Of a tier that cannot be opened nothing is known, and before any
// look has seen something nothing at all: what was said of it stands.
func (s *state) compare(o coverage.Overview, now time.Time) (news []item) {
	broken, dark := map[string]bool{}, map[string]bool{}
	for _, b := range withKit(o) {
		key := brokenKey(b)
		broken[key] = true
		if b.Promise == "tier" {
			dark[b.Tier] = true
		}
		if t := s.Troubles[key]; t != nil && !t.Over {
			t.Text = b.Text
			continue
		}
		s.Troubles[key] = &trouble{Since: now, Last: now, Told: now, Kind: b.Promise, Text: b.Text, Count: 1}
		news = append(news, brokenItem(b, key, now, len(o.Tiers) > 0 && o.Tiers[0].Tier == b.Tier))
	}
	for key, t := range s.Troubles {
		part := strings.Split(key, "|")
		if o.At.IsZero() || part[0] != promise || len(part) != 4 || t.Over || broken[key] || part[1] != "tier" && dark[part[2]] {
			continue
		}
		t.Over, t.Last = true, now
		news = append(news, item{
			Kind: recovery, Key: key, First: now, Last: now, Promise: part[1], Tier: part[2], Next: "holdfast status",
			Title: "kept again: " + promiseName(part[1], part[2], part[3]),
			Text:  fmt.Sprintf("It was broken since %s: %s", when(t.Since), t.Text),
		})
	}
	slices.SortStableFunc(news, func(a, b item) int { return strings.Compare(a.Key, b.Key) })
	return news
}

// withKit are the broken promises, with what is wrong with the kit.
func withKit(o coverage.Overview) []coverage.Broken {
	is := func(b coverage.Broken) bool { return b.Promise == "kit" }
	if o.Kit == "" || slices.ContainsFunc(o.Broken, is) {
		return o.Broken
	}
	return append(slices.Clone(o.Broken), coverage.Broken{Promise: "kit", Text: o.Kit})
}

func when(at time.Time) string { return at.Format("2006-01-02 15:04 MST") }

func times(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(", %d times", n)
}
