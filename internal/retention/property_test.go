package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

var epoch = time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)

var notAsked = source.Plan{Tasks: []source.Task{{Name: "x"}}}.Only("y").Skipped[0].Reason

// aComponent draws how a run found one component; absent in one of five.
func aComponent(t *rapid.T, src, name string) []point.Component {
	c := point.Component{Source: src, Name: name, State: point.Good, Required: true, BytesNew: int64(rapid.IntRange(0, 9).Draw(t, "new")) << 20}
	switch rapid.IntRange(0, 19).Draw(t, "state") {
	case 0, 1, 2, 3:
		return nil
	case 4, 5:
		c.State = point.ComponentFailed
	case 6:
		c.State = point.ComponentPartial
	case 7:
		c.State, c.Required, c.Reason = point.Skipped, false, notAsked
	case 8:
		c.State, c.Required, c.Reason = point.Skipped, false, "a rule"
	case 9:
		c.State, c.Required = point.ComponentFailed, false
	}
	return []point.Component{c}
}

func aPoint(t *rapid.T, id string) Held {
	h := Held{Point: point.Point{ID: id, Started: epoch.Add(time.Duration(rapid.IntRange(0, 90*24).Draw(t, "hours")) * time.Hour)}}
	h.Finished = h.Started.Add(time.Hour)
	if rapid.IntRange(0, 30).Draw(t, "known") > 0 {
		for _, n := range []name{{"mariadb", "m"}, {"rbd", "a"}, {"rbd", "b"}, {"rbd", "c"}} {
			h.Components = append(h.Components, aComponent(t, n.source, n.component)...)
		}
	}
	h.State, _ = point.Judge(h.Components)
	h.Damaged = rapid.IntRange(0, 15).Draw(t, "damaged") == 0
	return h
}

func someRules(t *rapid.T) (r config.Rules) {
	days := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 60))
	few := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 4))
	r.Age, r.Within = time.Duration(days.Draw(t, "age"))*config.Day, time.Duration(days.Draw(t, "within"))*config.Day
	r.Last, r.Daily, r.Weekly = few.Draw(t, "last"), few.Draw(t, "daily"), few.Draw(t, "weekly")
	r.Monthly, r.Yearly = few.Draw(t, "monthly"), few.Draw(t, "yearly")
	return r
}

func anInput(t *rapid.T) Input {
	in := Input{
		Tier: "local", Keep: config.Keep{Rules: someRules(t), Zone: rapid.SampledFrom([]string{"", "Europe/Paris", "America/St_Johns"}).Draw(t, "zone")},
		Last: config.Keep{Rules: config.Rules{Age: time.Duration(rapid.IntRange(0, 60).Draw(t, "term")) * config.Day}},
		Now:  epoch.Add(time.Duration(rapid.IntRange(0, 200*24).Draw(t, "now")) * time.Hour), Holds: map[string]point.Hold{},
	}
	if rapid.Bool().Draw(t, "rules of rbd") {
		in.Keep.Sources = map[string]config.Rules{"rbd": someRules(t)}
	}
	next := &Next{Tier: "s3", Verified: map[string]bool{}, Left: map[string]bool{}}
	for n := range rapid.IntRange(0, 24).Draw(t, "points") {
		id := fmt.Sprintf("p%02d", n)
		in.Points = append(in.Points, aPoint(t, id))
		next.Verified[id] = rapid.IntRange(0, 2).Draw(t, "verified") > 0
		next.Left[id] = rapid.IntRange(0, 9).Draw(t, "left") == 0
		if rapid.IntRange(0, 15).Draw(t, "held") == 0 {
			in.Holds[id] = point.Hold{Reason: "audit"}
		}
	}
	if rapid.Bool().Draw(t, "next") {
		in.Next = next
	}
	return in
}

func decide(t testing.TB, in Input) Plan {
	t.Helper()
	p, err := Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func removed(p Plan) map[string]bool {
	gone := map[string]bool{}
	for _, d := range p.Decisions {
		if !d.Keep {
			gone[d.Point] = true
		}
	}
	return gone
}

func without(in Input, gone map[string]bool) Input {
	in.Points = slices.DeleteFunc(slices.Clone(in.Points), func(h Held) bool { return gone[h.ID] })
	return in
}

func full(t *rapid.T, in Input) Input {
	in.Space = &Space{Free: int64(rapid.IntRange(0, 50).Draw(t, "free")) << 20, Capacity: 100 << 20, Reserve: 0.5}
	return in
}

func isGood(h Held) bool {
	return slices.ContainsFunc(h.Components, func(c point.Component) bool { return c.State == point.Good })
}

// TestLaw: what leaves is neither held, unknown nor ahead of the clock, the next tier has it, and each component's
// newest copy stays, unless three good runs did not find it any more, the third of them longer ago than the last tier's term.
func TestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := full(t, anInput(t))
		plan, err := Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		gone := removed(plan)
		if len(plan.Decisions) != len(in.Points) || plan.Removed() != len(gone) {
			t.Fatalf("%d decisions on %d points", len(plan.Decisions), len(in.Points))
		}
		for _, d := range plan.Decisions {
			if len(d.Reasons) == 0 {
				t.Fatalf("no reason: %+v", d)
			}
		}
		for _, h := range in.Points {
			if !gone[h.ID] {
				continue
			}
			if _, held := in.Holds[h.ID]; held || len(h.Components) == 0 || h.Started.After(in.Now.Add(time.Hour)) {
				t.Fatalf("leaves: %+v", h)
			}
			if in.Next != nil && isGood(h) && !in.Next.Verified[h.ID] && !in.Next.Left[h.ID] {
				t.Fatalf("leaves before %s has it: %+v", in.Next.Tier, h)
			}
		}
		for _, n := range []name{{"mariadb", "m"}, {"rbd", "a"}, {"rbd", "b"}, {"rbd", "c"}} {
			lawOfNewest(t, in, gone, n)
		}
	})
}

// lawOfNewest asks the points anew, without what the package has found out.
func lawOfNewest(t *rapid.T, in Input, gone map[string]bool, n name) {
	points := slices.Clone(in.Points)
	slices.SortFunc(points, func(a, b Held) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return -slices.Compare([]string{a.ID}, []string{b.ID})
	})
	var missed []time.Time // the newest first
	for _, h := range points {
		c, named := h.Component(n.source, n.component)
		plain := !slices.ContainsFunc(h.Components, func(c point.Component) bool { return c.Source == n.source && source.NotAsked(c) })
		if named && c.State == point.Good && gone[h.ID] {
			if len(missed) < 3 || in.Last.Age == 0 || in.Now.Before(missed[len(missed)-3].Add(in.Last.Age)) {
				t.Fatalf("newest copy of %s leaves with %s; %d good runs missed it: %v", n, h.ID, len(missed), missed)
			}
			return
		}
		if named && c.State == point.Good && !h.Damaged && !h.Started.After(in.Now.Add(time.Hour)) {
			return
		}
		if named && len(missed) < 3 {
			missed = nil
		}
		if !named && plain && h.SourceGood(n.source) && !h.Damaged && !h.Started.After(in.Now.Add(time.Hour)) {
			missed = append(missed, h.Started)
		}
	}
}

// TestAgainRemovesNothing: what a plan left, the next plan leaves too.
func TestAgainRemovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anInput(t)
		if rapid.Bool().Draw(t, "full") {
			in = full(t, in)
		}
		plan, err := Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		rest := without(in, removed(plan))
		rest.View = &plan.View
		if in.Space != nil {
			space := *in.Space
			for _, d := range plan.Decisions {
				if !d.Keep {
					space.Owed += d.Bytes
				}
			}
			rest.Space = &space
		}
		again, err := Decide(rest)
		if err != nil || again.Removed() != 0 {
			t.Fatalf("%v: %d more leave: %+v", err, again.Removed(), again.Decisions)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := full(t, anInput(t))
		one, _ := Decide(in)
		in.Points = slices.Clone(in.Points)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(in.Points), func(i, j int) { in.Points[i], in.Points[j] = in.Points[j], in.Points[i] })
		other, _ := Decide(in)
		if diff := cmp.Diff(one, other); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestTimeOnlyTakes: without new points, what may leave today may leave tomorrow.
func TestTimeOnlyTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anInput(t)
		today, _ := Decide(in)
		in.Now = in.Now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "hours later")) * time.Hour)
		if rapid.Bool().Draw(t, "with the view") {
			in.View = &today.View
		}
		tomorrow, _ := Decide(in)
		for id := range removed(today) {
			if !removed(tomorrow)[id] {
				t.Fatalf("%s stays again: %+v", id, tomorrow.Decisions)
			}
		}
	})
}

// TestBadPointsDisplaceNone: one more point with nothing good in it, or a damaged one, makes no good point leave.
func TestBadPointsDisplaceNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anInput(t)
		before, _ := Decide(in)
		bad := aPoint(t, "bad")
		for i := range bad.Components {
			if bad.Components[i].State == point.Good && !bad.Damaged {
				bad.Components[i].State = rapid.SampledFrom([]point.ComponentState{point.ComponentFailed, point.ComponentPartial, point.Skipped}).Draw(t, "instead")
			}
		}
		in.Points = append(slices.Clone(in.Points), bad)
		after, _ := Decide(in)
		for _, h := range in.Points {
			if h.ID != "bad" && isGood(h) && removed(after)[h.ID] && !removed(before)[h.ID] {
				t.Fatalf("%s leaves for a bad one", h.ID)
			}
		}
	})
}

// TestSpaceOnlyTakes: a full tier lets more go and nothing stay longer.
func TestSpaceOnlyTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anInput(t)
		before, _ := Decide(in)
		after, _ := Decide(full(t, in))
		for id := range removed(before) {
			if !removed(after)[id] {
				t.Fatalf("%s stays in a full tier", id)
			}
		}
	})
}

// TestDayByDay prunes after every run: whatever the runs brought, of each component the newest copy of all that there ever
// was is there, and a newest one that is not damaged.
func TestDayByDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anInput(t)
		in.Points, in.Last, in.Next, in.Space = nil, config.Keep{}, nil, nil
		newest := map[string]string{} // point by component
		for day := range rapid.IntRange(1, 40).Draw(t, "days") {
			h := aPoint(t, fmt.Sprintf("d%02d", day))
			h.Started = epoch.AddDate(0, 0, day)
			for _, c := range h.Components {
				if c.State == point.Good {
					newest[c.Source+" "+c.Name] = h.ID
					if !h.Damaged {
						newest["whole "+c.Source+" "+c.Name] = h.ID
					}
				}
			}
			in.Points, in.Now = append(in.Points, h), h.Started.Add(2*time.Hour)
			if rapid.Bool().Draw(t, "full") {
				in = full(t, in)
			}
			plan, err := Decide(in)
			if err != nil {
				t.Fatal(err)
			}
			in = without(in, removed(plan))
			in.View = &plan.View
			for what, id := range newest {
				if !slices.ContainsFunc(in.Points, func(h Held) bool { return h.ID == id }) {
					t.Fatalf("day %d: the newest copy of %s has left with %s", day, what, id)
				}
			}
		}
	})
}
