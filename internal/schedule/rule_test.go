package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tester is a test or a property.
type tester interface {
	Helper()
	Fatal(...any)
}

func rule(t tester, text string) Rule {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func zone(t tester, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// times are the first n after another, as clocks in the zone show them.
func times(r Rule, from string, l *time.Location, n int) (all []string) {
	at, err := time.ParseInLocation("2006-01-02 15:04", from, l)
	if err != nil {
		panic(err)
	}
	for range n {
		at = r.Next(at, l)
		all = append(all, at.In(l).Format("Mon 2006-01-02 15:04 MST"))
	}
	return all
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		rule, zone, from string
		want             []string
	}{
		{"daily at 02:00", "UTC", "2026-11-23 02:00", []string{"Tue 2026-11-24 02:00 UTC", "Wed 2026-11-25 02:00 UTC"}},
		{"daily 2:00", "UTC", "2026-11-23 01:59", []string{"Mon 2026-11-23 02:00 UTC"}},
		{"weekly sunday 04:00", "Europe/Paris", "2026-11-23 00:00", []string{"Sun 2026-11-29 04:00 CET", "Sun 2026-12-06 04:00 CET"}},
		{"weekly on Sun at 04:00", "UTC", "2026-11-29 03:00", []string{"Sun 2026-11-29 04:00 UTC"}},
		{"monthly 05:00", "UTC", "2026-11-23 00:00", []string{"Tue 2026-12-01 05:00 UTC", "Fri 2027-01-01 05:00 UTC"}},
		{"monthly 31 05:00", "UTC", "2027-01-31 05:00", []string{"Sun 2027-02-28 05:00 UTC", "Wed 2027-03-31 05:00 UTC", "Fri 2027-04-30 05:00 UTC"}},
		{"monthly last 05:00", "UTC", "2028-02-01 05:00", []string{"Tue 2028-02-29 05:00 UTC"}},
		{"monthly 30 05:00", "UTC", "2027-02-01 05:00", []string{"Sun 2027-02-28 05:00 UTC", "Tue 2027-03-30 05:00 UTC"}},
		{"every 4h", "UTC", "2026-11-23 02:53", []string{"Mon 2026-11-23 04:00 UTC", "Mon 2026-11-23 08:00 UTC"}},
		{"30 2 * * 1-5", "UTC", "2026-11-27 02:30", []string{"Mon 2026-11-30 02:30 UTC", "Tue 2026-12-01 02:30 UTC"}},
		{"0 0 13 * fri", "UTC", "2026-11-01 00:00", []string{"Fri 2026-11-06 00:00 UTC", "Fri 2026-11-13 00:00 UTC", "Fri 2026-11-20 00:00 UTC"}},
		{"*/20 9-10 * * *", "UTC", "2026-11-23 09:30", []string{"Mon 2026-11-23 09:40 UTC", "Mon 2026-11-23 10:00 UTC"}},
		{"0 12 29 feb *", "UTC", "2096-03-01 00:00", []string{"Fri 2104-02-29 12:00 UTC"}},
		{"0 0 * * 7", "UTC", "2026-11-23 00:00", []string{"Sun 2026-11-29 00:00 UTC"}},
		// Clocks skip 02:00 to 03:00, and show it twice.
		{"daily 02:30", "Europe/Paris", "2026-03-28 12:00", []string{"Sun 2026-03-29 03:00 CEST", "Mon 2026-03-30 02:30 CEST"}},
		{"0,30 2,3 * * *", "Europe/Paris", "2026-03-28 12:00", []string{"Sun 2026-03-29 03:00 CEST", "Sun 2026-03-29 03:30 CEST", "Mon 2026-03-30 02:00 CEST"}},
		{"daily 02:30", "Europe/Paris", "2026-10-24 12:00", []string{"Sun 2026-10-25 02:30 CEST", "Mon 2026-10-26 02:30 CET"}},
		{"every 12h", "Europe/Paris", "2026-10-24 12:00", []string{"Sat 2026-10-24 14:00 CEST", "Sun 2026-10-25 02:00 CEST", "Sun 2026-10-25 13:00 CET"}},
		// Half an hour, at midnight, and a whole day.
		{"daily 02:10", "Australia/Lord_Howe", "2026-10-03 12:00", []string{"Sun 2026-10-04 02:30 +11"}},
		{"daily 00:30", "America/Asuncion", "2022-10-01 12:00", []string{"Sun 2022-10-02 01:00 -03", "Mon 2022-10-03 00:30 -03"}},
		{"daily 10:00", "Pacific/Apia", "2011-12-29 12:00", []string{"Sat 2011-12-31 00:00 +14", "Sat 2011-12-31 10:00 +14"}},
	} {
		if diff := cmp.Diff(c.want, times(rule(t, c.rule), c.from, zone(t, c.zone), len(c.want))); diff != "" {
			t.Errorf("%s in %s from %s (-want +got):\n%s", c.rule, c.zone, c.from, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "daily", "daily at", "daily 25:00", "daily 02:60", "daily 2", "daily 02:00 03:00", "weekly 04:00", "weekly someday 04:00", "monthly 32 05:00", "monthly 0 05:00",
		"every", "every 0h", "every 4", "every 4x", "every 30s", "every h", "every 4h 5h", "every 400d", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
		"*/0 * * * *", "5-2 * * * *", "0 0 31 2 *", "0 0 30 2 *", "a b c d e", "hourly", "1,, * * * *", "tomorrow",
	} {
		if r, err := Parse(text); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
}

// TestNextIsWhatClocksShow holds the rule to clocks that are looked at every minute over changes of the time.
func TestNextIsWhatClocksShow(t *testing.T) {
	places := []string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		l := zone(t, rapid.SampledFrom(places).Draw(t, "zone"))
		start := time.Date(2009+rapid.IntRange(0, 17).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
		if rapid.Bool().Draw(t, "at a change") {
			if _, end := start.In(l).ZoneBounds(); !end.IsZero() {
				start = end.UTC().Truncate(time.Minute).Add(-20 * time.Hour)
			}
		}
		text := fmt.Sprintf("%d,%d */%d * * *", rapid.IntRange(0, 59).Draw(t, "m1"), rapid.IntRange(0, 59).Draw(t, "m2"), rapid.IntRange(1, 23).Draw(t, "step"))
		r := rule(t, text)
		var got []time.Time
		end := start.Add(48 * time.Hour)
		for at := r.Next(start, l); !at.After(end); at = r.Next(at, l) {
			got = append(got, at.UTC())
		}
		if want := watched(r, start, end, l); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s from %s:\n%v\nwant\n%v", text, l, start, got, want)
		}
	})
}

// watched looks at a clock every minute, and for a day before that knows what it showed already.
func watched(r Rule, start, end time.Time, l *time.Location) (due []time.Time) {
	shown := map[time.Time]bool{}
	last := wall(start.Add(-25 * time.Hour).In(l))
	for at := start.Add(-25*time.Hour + time.Minute); !at.After(end); at = at.Add(time.Minute) {
		now, hit := wall(at.In(l)), false
		for w := last.Add(time.Minute); !w.After(now); w = w.Add(time.Minute) {
			hit = hit || !shown[w] && r.fits(w) && has(r.hours, w.Hour()) && has(r.minutes, w.Minute())
			shown[w] = true
		}
		if last = now; hit && at.After(start) {
			due = append(due, at)
		}
	}
	return due
}

func TestGap(t *testing.T) {
	for text, want := range map[string]time.Duration{"daily 02:00": 24 * time.Hour, "weekly sun 04:00": 7 * 24 * time.Hour, "monthly 05:00": 31 * 24 * time.Hour, "every 4h": 4 * time.Hour} {
		if got := rule(t, text).Gap(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
