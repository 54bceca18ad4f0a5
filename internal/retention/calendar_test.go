package retention

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/point"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.RFC3339} {
		if m, err := time.Parse(layout, text); err == nil {
			return m
		}
	}
	t.Fatalf("no time: %s", text)
	return time.Time{}
}

// taken is a point whose id is the time of its start; components are given as "source name" or "source name=state".
func taken(start time.Time, components ...string) Held {
	h := Held{Point: point.Point{ID: start.UTC().Format("2006-01-02T15:04"), Started: start, Finished: start.Add(10 * time.Minute)}}
	for _, c := range components {
		what, state, _ := strings.Cut(c, "=")
		src, n, _ := strings.Cut(what, " ")
		x := point.Component{Source: src, Name: n, State: point.Good, Required: true, BytesNew: 10}
		switch state {
		case "asked":
			x.State, x.Required, x.Reason = point.Skipped, false, notAsked
		case "":
		default:
			x.State = point.ComponentState(state)
		}
		h.Components = append(h.Components, x)
	}
	h.State, _ = point.Judge(h.Components)
	return h
}

// every makes points from first to last, both of them too.
func every(t testing.TB, first, last string, step time.Duration, components ...string) (all []Held) {
	for m := at(t, first); !m.After(at(t, last)); m = m.Add(step) {
		all = append(all, taken(m, components...))
	}
	return all
}

func stay(p Plan) (ids []string) {
	for _, d := range p.Decisions {
		if d.Keep {
			ids = append(ids, d.Point)
		}
	}
	return ids
}

func kinds(p Plan) (all []DoubtKind) {
	for _, d := range p.Doubts {
		all = append(all, d.Kind)
	}
	return all
}

func wantStay(t *testing.T, p Plan, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, stay(p)); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
}

func wantDoubts(t *testing.T, p Plan, want ...DoubtKind) {
	t.Helper()
	if diff := cmp.Diff(want, kinds(p)); diff != "" {
		t.Errorf("doubts (-want +got):\n%s\n%+v", diff, p.Doubts)
	}
}

func reasons(t *testing.T, p Plan, id string) (all []Rule) {
	t.Helper()
	i := slices.IndexFunc(p.Decisions, func(d Decision) bool { return d.Point == id })
	if i < 0 {
		t.Fatalf("no point %s", id)
	}
	seen := map[Rule]bool{}
	for _, r := range p.Decisions[i].Reasons {
		seen[r.Rule] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func wantReasons(t *testing.T, p Plan, id string, want ...Rule) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, reasons(t, p, id)); diff != "" {
		t.Errorf("reasons of %s (-want +got):\n%s", id, diff)
	}
}

var yearOfRules = config.Keep{Rules: config.Rules{Daily: 7, Weekly: 4, Monthly: 12, Yearly: 2}}

var yearStays = []string{
	"2024-02-29T02:00", "2024-03-31T02:00", "2024-04-30T02:00", "2024-05-31T02:00", "2024-06-30T02:00", "2024-07-31T02:00",
	"2024-08-31T02:00", "2024-09-30T02:00", "2024-10-31T02:00", "2024-11-30T02:00",
	"2024-12-15T02:00", "2024-12-22T02:00",
	"2024-12-26T02:00", "2024-12-27T02:00", "2024-12-28T02:00", "2024-12-29T02:00", "2024-12-30T02:00", "2024-12-31T02:00", "2025-01-01T02:00",
}

// TestYear: the same points stay whether a leap year of them is pruned at once, which raises a doubt, or day by day, which
// raises none.
func TestYear(t *testing.T) {
	points := every(t, "2024-01-01T02:00", "2025-01-01T02:00", config.Day, "mariadb m", "rbd a")
	if len(points) != 367 {
		t.Fatalf("%d points", len(points))
	}
	at1 := at(t, "2025-01-01T03:00")
	once := decide(t, Input{Points: points, Keep: yearOfRules, Now: at1})
	wantStay(t, once, yearStays...)
	wantDoubts(t, once, ManyPoints)
	wantReasons(t, once, "2024-12-29T02:00", Daily, Weekly)
	wantReasons(t, once, "2024-12-31T02:00", Daily, Monthly, Yearly)
	wantReasons(t, once, "2024-12-30T02:00", Daily)
	wantReasons(t, once, "2024-03-30T02:00", Due)
	wantReasons(t, once, "2025-01-01T02:00", Daily, Weekly, Monthly, Yearly, Newest, NewestRun)

	in := Input{Keep: yearOfRules}
	var plan Plan
	for _, p := range points {
		in.Points, in.Now = append(slices.Clone(in.Points), p), p.Finished
		plan = decide(t, in)
		if plan.NeedsConfirmation() {
			t.Fatalf("on %s: %+v", p.ID, plan.Doubts)
		}
		in = without(in, removed(plan))
		in.View = &plan.View
	}
	wantStay(t, plan, yearStays...)
}

func TestAge(t *testing.T) {
	points := every(t, "2024-01-01T02:00", "2025-01-02T02:00", config.Day, "rbd a")
	p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Age: config.Year}}, Now: at(t, "2025-01-02T02:00")})
	if got := stay(p); len(got) != 365 || got[0] != "2024-01-04T02:00" { // 366 days lie between the first days of 2024 and 2025
		t.Errorf("%d stay from %s on", len(got), got[0])
	}
	wantDoubts(t, p)
}

// TestDaysBeginInTheZone: in Paris summer time begins on 2026-03-29 and ends on 2026-10-25.
func TestDaysBeginInTheZone(t *testing.T) {
	for _, c := range []struct {
		zone, first, last string
		want              []string
	}{
		{"", "2026-03-27T21:30", "2026-03-30T00:30", []string{"2026-03-28T23:30", "2026-03-29T23:30", "2026-03-30T00:30"}},
		{"Europe/Paris", "2026-03-27T21:30", "2026-03-30T00:30", []string{"2026-03-28T22:30", "2026-03-29T21:30", "2026-03-30T00:30"}},
		{"Europe/Paris", "2026-10-23T21:30", "2026-10-26T00:30", []string{"2026-10-24T21:30", "2026-10-25T22:30", "2026-10-26T00:30"}},
	} {
		points := every(t, c.first, c.last, time.Hour, "rbd a")
		k := config.Keep{Rules: config.Rules{Daily: 3}, Zone: c.zone}
		wantStay(t, decide(t, Input{Points: points, Keep: k, Now: at(t, c.last)}), c.want...)
	}
	if _, err := Decide(Input{Keep: config.Keep{Zone: "Local"}}); err == nil {
		t.Error("the zone of whatever host is taken")
	}
}

// TestFailuresAgeOutNothing: after a week of failures and more the last good point stays, and so do all that within wants.
func TestFailuresAgeOutNothing(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-10T02:00", config.Day, "mariadb m", "rbd a")
	points = append(points, every(t, "2026-03-11T02:00", "2026-03-30T02:00", config.Day, "mariadb m=failed", "rbd a=failed")...)
	now := at(t, "2026-03-30T03:00")
	p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Age: 7 * config.Day}}, Now: now})
	wantStay(t, p, "2026-03-10T02:00", "2026-03-24T02:00", "2026-03-25T02:00", "2026-03-26T02:00", "2026-03-27T02:00", "2026-03-28T02:00", "2026-03-29T02:00", "2026-03-30T02:00")
	wantReasons(t, p, "2026-03-10T02:00", Newest)
	wantReasons(t, p, "2026-03-23T02:00", NothingGood)
	wantDoubts(t, p, ManyPoints)
	p = decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Within: 3 * config.Day}}, Now: now})
	if got := stay(p)[:3]; !slices.Equal(got, []string{"2026-03-08T02:00", "2026-03-09T02:00", "2026-03-10T02:00"}) {
		t.Errorf("within: %v", got)
	}
	wantReasons(t, p, "2026-03-09T02:00", Within)
}

// TestPartialPoints: they neither count as good ones nor lose the copies that only they have.
func TestPartialPoints(t *testing.T) {
	points := []Held{
		taken(at(t, "2026-03-01T02:00"), "rbd a", "rbd b"),
		taken(at(t, "2026-03-02T02:00"), "rbd a", "rbd b"),
		taken(at(t, "2026-03-03T02:00"), "rbd a=failed", "rbd b"),
		taken(at(t, "2026-03-03T12:00"), "rbd a", "rbd b=failed"),
		taken(at(t, "2026-03-04T02:00"), "rbd a", "rbd b=partial"),
		taken(at(t, "2026-03-05T02:00"), "rbd a=failed", "rbd b=failed"),
	}
	p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 1}}, Now: at(t, "2026-04-01")})
	wantStay(t, p, "2026-03-02T02:00", "2026-03-03T02:00", "2026-03-04T02:00", "2026-03-05T02:00")
	wantReasons(t, p, "2026-03-02T02:00", Last, Newest) // the newest with all of it
	wantReasons(t, p, "2026-03-03T02:00", Last, Newest) // the newest copy of b
	wantReasons(t, p, "2026-03-05T02:00", NewestRun)
}

// TestRunsOfOneComponent taken by hand do not stand for the nightly ones.
func TestRunsOfOneComponent(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-04T02:00", config.Day, "rbd a", "rbd b")
	points = append(points, every(t, "2026-03-04T03:00", "2026-03-04T09:00", time.Hour, "rbd a", "rbd b=asked")...)
	p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 2}}, Now: at(t, "2026-03-04T10:00")})
	wantStay(t, p, "2026-03-03T02:00", "2026-03-04T02:00", "2026-03-04T08:00", "2026-03-04T09:00")
}

func TestRulesOfSources(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	points = append(points, every(t, "2026-03-01T03:00", "2026-03-05T03:00", config.Day, "mariadb m")...)
	k := config.Keep{Rules: config.Rules{Last: 1}, Sources: map[string]config.Rules{"mariadb": {Last: 3}}}
	wantStay(t, decide(t, Input{Points: points, Keep: k, Now: at(t, "2026-03-05T04:00")}),
		"2026-03-03T03:00", "2026-03-04T03:00", "2026-03-05T02:00", "2026-03-05T03:00")
}

// TestTombstone: an image that three good runs did not find leaves after the last tier's term, wherever the points that told
// of it are by then.
func TestTombstone(t *testing.T) {
	in := Input{Keep: config.Keep{Rules: config.Rules{Age: 2 * config.Day}}, Last: config.Keep{Rules: config.Rules{Age: 30 * config.Day}}}
	left := ""
	for _, p := range append(every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a", "rbd b"),
		every(t, "2026-03-06T02:00", "2026-05-01T02:00", config.Day, "rbd a")...) {
		in.Points, in.Now = append(slices.Clone(in.Points), p), p.Finished
		plan := decide(t, in)
		if left == "" && removed(plan)["2026-03-05T02:00"] {
			left = p.ID
		}
		in = without(in, removed(plan))
		in.View = &plan.View
	}
	if left != "2026-04-07T02:00" { // 30 days after the third, of 2026-03-08
		t.Errorf("the newest copy of b left on %q", left)
	}
	in.Last = config.Keep{Rules: config.Rules{Last: 3}}
	in.Points = append(every(t, "2026-03-01T02:00", "2026-03-02T02:00", config.Day, "rbd b", "rbd a"), every(t, "2026-03-06T02:00", "2026-05-01T02:00", config.Day, "rbd a")...)
	in.View = nil
	if removed(decide(t, in))["2026-03-02T02:00"] {
		t.Error("it left though nobody knows the last tier's term")
	}
}

// TestNobodyCapturesIt: of what is left out since three good runs only the newest copy stays, since no newer ones come.
func TestNobodyCapturesIt(t *testing.T) {
	points := append(every(t, "2026-03-01", "2026-03-03", config.Day, "rbd a", "rbd b"), every(t, "2026-03-04", "2026-03-08", config.Day, "rbd a")...)
	in := Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 2}}, Now: at(t, "2026-03-08")}
	wantStay(t, decide(t, in), "2026-03-03T00:00", "2026-03-07T00:00", "2026-03-08T00:00")
}

// TestTriedAgain: what a failed run last told of an image is still known when the run's point has left.
func TestTriedAgain(t *testing.T) {
	points := append(every(t, "2026-03-01", "2026-03-01", config.Day, "rbd a", "rbd b"), every(t, "2026-03-02", "2026-03-04", config.Day, "rbd a")...)
	points = append(points, taken(at(t, "2026-03-05"), "rbd b=failed"), taken(at(t, "2026-03-06"), "rbd a"))
	in := Input{
		Points: points, Keep: config.Keep{Rules: config.Rules{Last: 4}}, Last: config.Keep{Rules: config.Rules{Age: config.Day}}, Now: at(t, "2026-03-20"),
	}
	p := decide(t, in)
	wantStay(t, p, "2026-03-01T00:00", "2026-03-02T00:00", "2026-03-03T00:00", "2026-03-04T00:00", "2026-03-06T00:00")
	in = without(in, removed(p))
	in.View = &p.View
	wantStay(t, decide(t, in), stay(p)...)
}

func TestNextTier(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	in := Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 1}}, Now: at(t, "2026-03-05T03:00"), Next: &Next{
		Tier: "s3", Verified: map[string]bool{"2026-03-02T02:00": true}, Left: map[string]bool{"2026-03-01T02:00": true},
	}}
	p := decide(t, in)
	wantStay(t, p, "2026-03-03T02:00", "2026-03-04T02:00", "2026-03-05T02:00")
	wantReasons(t, p, "2026-03-04T02:00", NextTier)
	wantReasons(t, p, "2026-03-02T02:00", Due, NextTier)
}

func TestHolds(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	points[3].Damaged = true
	in := Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 1}}, Now: at(t, "2026-03-05T03:00"), Holds: map[string]point.Hold{"2026-03-01T02:00": {Reason: "audit"}}}
	p := decide(t, in)
	wantStay(t, p, "2026-03-01T02:00", "2026-03-05T02:00")
	wantReasons(t, p, "2026-03-01T02:00", OnHold)
	if p.Decisions[0].Reasons[0].Text != "on hold: audit" {
		t.Errorf("%+v", p.Decisions[0])
	}
}

// TestDamagedNewest: it stays, and the one before it with it.
func TestDamagedNewest(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	points[4].Damaged, points[3].Damaged = true, true
	wantStay(t, decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 1}}, Now: at(t, "2026-03-05T03:00")}),
		"2026-03-03T02:00", "2026-03-04T02:00", "2026-03-05T02:00")
}

func TestUnreadablePointsStay(t *testing.T) {
	points := append(every(t, "2026-03-01T02:00", "2026-03-01T02:00", config.Day), every(t, "2026-03-02T02:00", "2026-03-03T02:00", config.Day, "rbd a")...)
	p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 1}}, Now: at(t, "2026-03-05T03:00")})
	wantStay(t, p, "2026-03-01T02:00", "2026-03-03T02:00")
	wantReasons(t, p, "2026-03-01T02:00", Unknown)
}

func TestSpace(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	points[0].Components[0].BytesNew = 0
	in := Input{Points: points, Keep: config.Keep{Rules: config.Rules{Age: config.Year}}, Now: at(t, "2026-03-05T03:00")}
	in.Space = &Space{Free: 5, Owed: 4, Capacity: 100, Reserve: 0.2}
	p := decide(t, in)
	wantStay(t, p, "2026-03-01T02:00", "2026-03-04T02:00", "2026-03-05T02:00")
	wantReasons(t, p, "2026-03-02T02:00", Reserve)
	in.Space.Free = 16
	wantStay(t, decide(t, in), "2026-03-01T02:00", "2026-03-02T02:00", "2026-03-03T02:00", "2026-03-04T02:00", "2026-03-05T02:00")
	in.Space.Free = 0
	in.Next = &Next{Tier: "s3"}
	if n := decide(t, in).Removed(); n != 0 {
		t.Errorf("%d leave before the next tier has them", n)
	}
}
