package retention

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/internal/config"
)

func week(keep time.Duration) config.Keep { return config.Keep{Rules: config.Rules{Age: keep}} }

// TestClockAhead: a clock that jumped ahead, or went on while no backup came, is asked about, once.
func TestClockAhead(t *testing.T) {
	in := Input{Points: every(t, "2026-03-01T02:00", "2026-03-10T02:00", config.Day, "rbd a"), Keep: week(7 * config.Day), Now: at(t, "2026-06-01")}
	p := decide(t, in)
	wantDoubts(t, p, ClockAhead, ManyPoints)
	if !p.NeedsConfirmation() {
		t.Error("it goes on")
	}
	in.Points = append(in.Points, taken(at(t, "2026-05-31T23:00"), "rbd a")) // a backup ran by the wrong clock
	p = decide(t, in)
	wantDoubts(t, p, ClockAhead, ManyPoints)
	wantStay(t, p, "2026-05-31T23:00")
	in = without(in, removed(p)) // somebody confirmed it
	in.View, in.Now = &p.View, in.Now.Add(config.Day)
	wantDoubts(t, decide(t, in))
	in.Now = in.Now.Add(4 * config.Day)
	wantDoubts(t, decide(t, in), ClockAhead)
	if p := decide(t, in); p.NeedsConfirmation() {
		t.Error("it asks before it does nothing")
	}
}

// TestRareBackups: where points are far apart, so may be the clock and the newest one.
func TestRareBackups(t *testing.T) {
	points := every(t, "2026-01-01T02:00", "2026-03-12T02:00", config.Week, "rbd a")
	in := Input{Points: points, Keep: week(config.Year), Now: at(t, "2026-03-30")}
	wantDoubts(t, decide(t, in))
	in.Now = at(t, "2026-04-20")
	wantDoubts(t, decide(t, in), ClockAhead)
}

// TestClockBehind: nothing ages by a clock that is behind the records, and points ahead of it displace none.
func TestClockBehind(t *testing.T) {
	in := Input{Points: every(t, "2026-03-01T02:00", "2026-03-10T02:00", config.Day, "rbd a"), Keep: config.Keep{Rules: config.Rules{Last: 2}}, Now: at(t, "2026-03-05T02:10")}
	p := decide(t, in)
	wantDoubts(t, p, ClockBehind)
	if got := stay(p); len(got) != 7 || got[0] != "2026-03-04T02:00" {
		t.Errorf("stay: %v", got)
	}
	wantReasons(t, p, "2026-03-07T02:00", Future, Newest)
	wantReasons(t, p, "2026-03-04T02:00", Last)
	in.Now = at(t, "2026-03-10T02:05") // ten minutes off, the newest run's end is ahead
	wantDoubts(t, decide(t, in), ManyPoints)
	in.Now = at(t, "2026-03-10T03:00")
	in.View = &View{At: at(t, "2026-08-01")}
	wantDoubts(t, decide(t, in), ClockBehind, LatePoint, ManyPoints)
}

// TestLatePoints: one that says it is older than the last prune, which did not see it, and would leave at once.
func TestLatePoints(t *testing.T) {
	in := Input{Points: every(t, "2026-03-01T02:00", "2026-03-10T02:00", config.Day, "rbd a"), Keep: week(config.Week), Now: at(t, "2026-03-10T03:00")}
	p := decide(t, in)
	in = without(in, removed(p))
	in.View = &p.View
	in.Points = append(in.Points, taken(at(t, "2026-02-20"), "rbd a"))
	wantDoubts(t, decide(t, in), LatePoint)
	in.Points[len(in.Points)-1].Started = at(t, "2026-03-07")
	wantDoubts(t, decide(t, in))
}

func TestManyPoints(t *testing.T) {
	for _, c := range []struct {
		points, last int
		want         []DoubtKind
	}{
		{5, 1, nil}, {8, 4, nil}, // few
		{10, 5, nil},                     // half
		{11, 5, []DoubtKind{ManyPoints}}, // more than half
		{400, 300, nil}, {401, 300, []DoubtKind{ManyPoints}},
	} {
		last := at(t, "2025-01-01").Add(time.Duration(c.points-1) * config.Day)
		in := Input{Points: every(t, "2025-01-01", last.Format(time.RFC3339), config.Day, "rbd a"), Keep: config.Keep{Rules: config.Rules{Last: c.last}}, Now: last}
		wantDoubts(t, decide(t, in), c.want...)
	}
}

// TestShrunk: a source with less than half of what it held is asked about until somebody confirms it.
func TestShrunk(t *testing.T) {
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("rbd v%d", i))
	}
	points := every(t, "2026-03-01T02:00", "2026-03-09T02:00", config.Day, many...)
	in := Input{Points: append(slices.Clone(points), taken(at(t, "2026-03-10T02:00"), many[:5]...)), Keep: week(config.Week), Now: at(t, "2026-03-10T03:00")}
	wantDoubts(t, decide(t, in))
	in.Points[9] = taken(at(t, "2026-03-10T02:00"), many[:4]...)
	p := decide(t, in)
	wantDoubts(t, p, Shrunk)
	in.View = &p.View
	wantDoubts(t, decide(t, in)) // as confirmed
	before := decide(t, Input{Points: points, Keep: in.Keep, Now: at(t, "2026-03-09T03:00")})
	in.View = &before.View
	wantDoubts(t, decide(t, in), Shrunk)

	in = Input{Points: slices.Clone(points), Keep: in.Keep, Now: at(t, "2026-03-09T03:00")}
	for i := range in.Points {
		in.Points[i].Bytes = map[string]int64{"rbd": 100}
	}
	in.Points[8].Bytes = map[string]int64{"rbd": 49}
	wantDoubts(t, decide(t, in), Shrunk)
	in.Points[8] = taken(at(t, "2026-03-09T02:00"), append(slices.Clone(many[:9]), "rbd v9=failed")...) // not whole: it proves nothing
	wantDoubts(t, decide(t, in))
}

// TestViewKeepsSizes of sources that no point has any more.
func TestViewKeepsSizes(t *testing.T) {
	in := Input{Points: every(t, "2026-03-01", "2026-03-02", config.Day, "kolla h"), Now: at(t, "2026-03-02"), View: &View{At: at(t, "2026-03-01"), Sizes: map[string]Size{"rbd": {Components: 3}}}}
	if got := decide(t, in).View.Sizes; got["rbd"].Components != 3 || got["kolla"].Components != 1 {
		t.Errorf("%+v", got)
	}
}

// TestWhatCannotBeTrusted: the store has another time, or nobody knows what the last prune saw.
func TestWhatCannotBeTrusted(t *testing.T) {
	points := every(t, "2026-03-01T02:00", "2026-03-05T02:00", config.Day, "rbd a")
	now := at(t, "2026-03-05T03:00")
	for _, c := range []struct {
		store time.Time
		lost  bool
		want  []DoubtKind
	}{
		{time.Time{}, false, nil}, {now.Add(50 * time.Minute), false, nil}, {now.Add(-50 * time.Minute), false, nil},
		{now.Add(2 * time.Hour), false, []DoubtKind{StoreClock}}, {now.Add(-2 * time.Hour), false, []DoubtKind{StoreClock}},
		{now, true, []DoubtKind{ViewLost}},
	} {
		p := decide(t, Input{Points: points, Keep: config.Keep{Rules: config.Rules{Last: 3}}, Now: now, Store: c.store, ViewLost: c.lost})
		wantDoubts(t, p, c.want...)
		if p.NeedsConfirmation() != (len(c.want) > 0) {
			t.Errorf("%+v asks: %v", c, p.NeedsConfirmation())
		}
	}
}
