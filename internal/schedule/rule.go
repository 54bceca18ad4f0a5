// Package schedule says when a job is due: by the calendar of a time zone or by a span of real time, spread by a jitter that stays
// the same, within windows of the day, once after downtime, and once where clocks are changed. It is pure: the time is given to it.
package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Rule says when something is due. The zero Rule is never due.
type Rule struct {
	text  string
	every time.Duration // of real time; 0 is by the calendar
	// The minutes, hours, days of the month, months and days of the week that fit, a bit each.
	minutes, hours, days, months, weekdays uint64
	either                                 bool // a day fits by the month or by the week, as cron has it when both are given
	clip                                   bool // a day that a month does not have is its last
}

// String is the text that the rule was read from.
func (r Rule) String() string { return r.text }

// horizon is within how many days a calendar rule must come: the 29th of February of a given day of the week can take 40 years.
const horizon = 41 * 366

// Next returns the first time after another at which the rule is due in a zone, and the zero time if it never is. A time of the day that
// clocks skip is due right after the gap, together with others that are; one that comes twice is due the first time.
func (r Rule) Next(after time.Time, zone *time.Location) time.Time {
	switch {
	case r.every > 0:
		return r.nextSpan(after)
	case r.minutes == 0:
		return time.Time{}
	}
	year, month, day := after.In(zone).AddDate(0, 0, -1).Date() // the day before may have ended in a gap
	for i := range horizon {
		date := time.Date(year, month, day+i, 0, 0, 0, 0, time.UTC)
		if !r.fits(date) {
			continue
		}
		if at := r.firstOf(date, after, zone); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// nextSpan counts from the beginning of 1970, so that a restart changes nothing.
func (r Rule) nextSpan(after time.Time) time.Time {
	n := after.UnixNano()/int64(r.every) + 1
	if after.UnixNano() < 0 {
		n = 0
	}
	return time.Unix(0, n*int64(r.every))
}

// firstOf returns the first time of a day that is after another.
func (r Rule) firstOf(date, after time.Time, zone *time.Location) (first time.Time) {
	for h := range each(r.hours) {
		for m := range each(r.minutes) {
			at := instant(date, h, m, zone)
			if at.After(after) && (first.IsZero() || at.Before(first)) { // where clocks go back a later time can come earlier
				first = at
			}
		}
	}
	return first
}

// fits reports whether something can be due on a day.
func (r Rule) fits(date time.Time) bool {
	if !has(r.months, int(date.Month())) {
		return false
	}
	inMonth, inWeek := has(r.days, date.Day()), has(r.weekdays, int(date.Weekday()))
	if r.clip && date.AddDate(0, 0, 1).Day() == 1 {
		inMonth = r.days>>date.Day() != 0
	}
	if r.either {
		return inMonth || inWeek
	}
	return inMonth && inWeek
}

func has(set uint64, n int) bool { return set>>n&1 == 1 }

// each yields the numbers of a set in their order.
func each(set uint64) func(func(int) bool) {
	return func(yield func(int) bool) {
		for ; set != 0; set &= set - 1 {
			if !yield(bits.TrailingZeros64(set)) {
				return
			}
		}
	}
}

// instant is when clocks in the zone first show a time on a day, or when they have just skipped it.
func instant(date time.Time, hour, minute int, zone *time.Location) time.Time {
	shown := time.Date(date.Year(), date.Month(), date.Day(), hour, minute, 0, 0, time.UTC)
	at := time.Date(date.Year(), date.Month(), date.Day(), hour, minute, 0, 0, zone)
	start, end := at.ZoneBounds()
	if shows := wall(at); shows.After(shown) { // skipped, and counted from the offset before the gap
		return start
	} else if shows.Before(shown) {
		return end
	}
	if start.IsZero() {
		return at
	}
	_, offset := start.Add(-1).Zone()
	if earlier := shown.Add(-time.Duration(offset) * time.Second).In(zone); earlier.Before(start) && wall(earlier).Equal(shown) {
		return earlier
	}
	return at
}

// wall is what clocks show, as a time in UTC.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// Gap is about how long the rule lets pass at most from one time to the next, as far as the next ones tell.
func (r Rule) Gap() (longest time.Duration) {
	if r.every > 0 {
		return r.every
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 24 {
		next := r.Next(at, time.UTC)
		if next.IsZero() {
			return longest
		}
		if at.After(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			longest = max(longest, next.Sub(at))
		}
		at = next
	}
	return longest
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

var monthNames = []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// nameIn returns the place of a word, or of its first three letters, in a list.
func nameIn(list []string, word string) (int, error) {
	word = strings.ToLower(word)
	i := slices.IndexFunc(list, func(s string) bool { return s != "" && (s == word || len(word) == 3 && strings.HasPrefix(s, word)) })
	if i < 0 {
		return 0, fmt.Errorf("%q is not known", word)
	}
	return i, nil
}
