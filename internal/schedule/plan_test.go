package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func plan(t tester, text string) Plan {
	return Plan{Rule: rule(t, text), Zone: time.UTC, Seed: "prod database"}
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestDueCatchesUpOnce(t *testing.T) {
	p := plan(t, "daily 02:00")
	due, missed := p.Due(at("2026-11-20 02:00"), at("2026-11-23 10:00"))
	if !due.Equal(at("2026-11-23 02:00")) || missed != 3 {
		t.Errorf("%s, %d", due, missed)
	}
	if due, _ = p.Due(due, at("2026-11-24 01:59")); !due.IsZero() {
		t.Errorf("again %s", due)
	}
	p = plan(t, "every 1m") // many
	if due, _ = p.Due(at("2025-11-20 02:00"), at("2026-11-23 10:00").Add(30*time.Second)); !due.Equal(at("2026-11-23 10:00")) {
		t.Errorf("after a year: %s", due)
	}
}

func TestClockJumps(t *testing.T) {
	p := plan(t, "daily 02:00")
	done := at("2026-11-23 02:00")
	if due, _ := p.Due(done, at("2026-11-23 01:30")); !due.IsZero() {
		t.Errorf("set back by an hour: %s", due)
	}
	if due, _ := p.Due(done, at("2026-11-23 02:10")); !due.IsZero() {
		t.Errorf("and on again: %s", due)
	}
	// The clock was a year ahead, and is right again.
	ahead := at("2027-11-23 02:00")
	now := at("2026-11-23 01:30")
	if got := p.Sane(ahead, now); !got.Equal(now) {
		t.Errorf("counts from %s", got)
	}
	if due, n := p.Due(p.Sane(ahead, now), at("2026-11-23 02:00")); !due.Equal(at("2026-11-23 02:00")) || n != 1 {
		t.Errorf("%s", due)
	}
	// It jumps ahead by ten days.
	if due, n := p.Due(done, at("2026-12-03 12:00")); !due.Equal(at("2026-12-03 02:00")) || n != 10 {
		t.Errorf("%s %d", due, n)
	}
}

func TestJitterIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plan(t, "daily 02:00")
		p.Jitter = time.Duration(rapid.IntRange(1, 23*3600).Draw(t, "jitter")) * time.Second
		p.Seed = rapid.String().Draw(t, "seed")
		from := at("2026-11-23 00:00").Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "from")) * time.Second)
		next := p.Next(from)
		if !next.After(from) || !p.Next(next).Equal(next.Add(24*time.Hour)) {
			t.Fatalf("from %s: %s, then %s", from, next, p.Next(next))
		}
		if late := next.Add(-2 * time.Hour).Sub(next.Add(-2 * time.Hour).Truncate(24 * time.Hour)); late >= p.Jitter {
			t.Fatalf("%s is late by %s of %s", next, late, p.Jitter)
		}
	})
	spread := map[time.Time]bool{}
	for _, seed := range []string{"a database", "a config", "b database", "c database", "d database"} {
		p := Plan{Rule: rule(t, "daily 02:00"), Zone: time.UTC, Jitter: time.Hour, Seed: seed}
		spread[p.Next(at("2026-11-23 00:00"))] = true
	}
	if len(spread) < 4 {
		t.Errorf("five jobs begin at %d times", len(spread))
	}
}

func TestWindow(t *testing.T) {
	w, err := ParseWindow("22:00-06:00")
	if err != nil || w.String() != "22:00-06:00" {
		t.Fatal(w, err)
	}
	p := plan(t, "every 1h")
	p.Window = w
	for from, want := range map[string]string{
		"2026-11-23 10:00": "2026-11-23 22:00", "2026-11-23 22:00": "2026-11-23 22:00", "2026-11-23 05:59": "2026-11-23 05:59", "2026-11-23 06:00": "2026-11-23 22:00", "2026-11-23 23:30": "2026-11-23 23:30",
	} {
		if got := p.Start(at(from)); !got.Equal(at(want)) {
			t.Errorf("%s begins %s, want %s", from, got, want)
		}
	}
	for _, text := range []string{"", "22:00", "22:00-22:00", "22:00-24:00", "x-y"} {
		if _, err := ParseWindow(text); err == nil {
			t.Errorf("%q is a window", text)
		}
	}
}

// TestOneRunPerTurn walks a clock that stands still, goes on, jumps ahead and is set back a little, and demands that no time is
// seen to twice and that after the walk nothing is owed.
func TestOneRunPerTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plan(t, rapid.SampledFrom([]string{"daily 02:30", "every 4h", "30 2,12 * * *", "weekly sunday 02:00"}).Draw(t, "rule"))
		p.Zone = zone(t, rapid.SampledFrom([]string{"UTC", "Europe/Paris"}).Draw(t, "zone"))
		now := at("2026-03-27 00:00").Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "days")) * 24 * time.Hour)
		last, seen, furthest := now, map[time.Time]bool{}, now
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 60, 600, -50, -1, 5000}).Draw(t, "minutes")) * time.Minute); furthest.Sub(now) > 3*time.Hour {
				now = furthest
			}
			furthest = later(furthest, now)
			last = p.Sane(last, now)
			due, _ := p.Due(last, now)
			if due.IsZero() {
				continue
			}
			if seen[due] || due.After(now) || !due.After(last) {
				t.Fatalf("%s at %s after %s", due, now, last)
			}
			seen[due], last = true, due
		}
		if due, _ := p.Due(last, now); !due.IsZero() {
			t.Fatalf("%s is still owed at %s", due, now)
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
