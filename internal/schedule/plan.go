package schedule

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// Plan is when a job is done: by its rule, with all that shifts it.
type Plan struct {
	Rule   Rule
	Zone   *time.Location
	Jitter time.Duration // times are later by less than that, always by the same
	Seed   string        // decides by how much: cloud and job
	Window Window
}

// Next returns the first time after another at which the job is due.
func (p Plan) Next(after time.Time) time.Time {
	shift := p.shift()
	at := p.Rule.Next(after.Add(-shift), p.Zone)
	if at.IsZero() {
		return at
	}
	return at.Add(shift)
}

// shift is what the jitter comes to, in whole seconds.
func (p Plan) shift() time.Duration {
	seconds := uint64(p.Jitter / time.Second)
	if seconds == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(p.Seed)) // a hash takes everything
	return time.Duration(mix(h.Sum64())%seconds) * time.Second
}

// mix spreads the bits of a hash, whose last ones differ little between names that do.
func mix(n uint64) uint64 {
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	return n ^ n>>33
}

// Due returns the newest time up to now at which the job is due and that is after the last one that was seen to, and how many
// there are; none is the zero time. Of those missed while nothing ran only the newest is wanted. A last time that lies more than
// one turn ahead of the clock was set by a clock that was wrong, and does not count.
func (p Plan) Due(last, now time.Time) (due time.Time, missed int) {
	for at := p.Next(p.Sane(last, now)); !at.IsZero() && !at.After(now); at = p.Next(at) {
		due = at
		if missed++; missed == manyMissed {
			return p.newest(at, now), missed
		}
	}
	return due, missed
}

// manyMissed is how many missed times are counted.
const manyMissed = 1000

// newest searches the last time up to now, near now.
func (p Plan) newest(at, now time.Time) time.Time {
	for back := time.Hour; ; back *= 2 {
		from := now.Add(-back)
		if from.Before(at) {
			from = at
		}
		found := from
		for next := p.Next(from); !next.IsZero() && !next.After(now); next = p.Next(next) {
			found = next
		}
		if found != from || from == at {
			return found
		}
	}
}

// Sane returns a last time that can be counted from. A clock that is set back a little does not make a job run again.
func (p Plan) Sane(last, now time.Time) time.Time {
	if !last.After(now) {
		return last
	}
	if next := p.Next(now); next.IsZero() || !next.Before(last) {
		return last
	}
	return now
}

// Start is when something due may begin: at once, or when the window opens.
func (p Plan) Start(due time.Time) time.Time { return p.Window.Open(due, p.Zone) }

// Window is a part of the day. The zero Window is all of it.
type Window struct {
	From, To time.Duration // since midnight; To before From is on the next day
}

// ParseWindow reads HH:MM-HH:MM.
func ParseWindow(text string) (w Window, err error) {
	from, to, ok := strings.Cut(text, "-")
	if w.From, err = ParseClock(strings.TrimSpace(from)); err == nil && ok {
		w.To, err = ParseClock(strings.TrimSpace(to))
	}
	if err != nil || !ok || w.From == w.To {
		return Window{}, fmt.Errorf("%q is not a part of the day", text)
	}
	return w, nil
}

// String writes w as ParseWindow reads it; "" is the whole day.
func (w Window) String() string {
	if w == (Window{}) {
		return ""
	}
	return clock(w.From) + "-" + clock(w.To)
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// Open returns the first time from another on that lies in the window.
func (w Window) Open(from time.Time, zone *time.Location) time.Time {
	if w == (Window{}) || w.has(from, zone) {
		return from
	}
	opens := Rule{days: allDays, months: allMonths, weekdays: allWeekdays, hours: 1 << int(w.From.Hours()), minutes: 1 << (int(w.From.Minutes()) % 60)}
	return opens.Next(from, zone)
}

func (w Window) has(at time.Time, zone *time.Location) bool {
	h, m, s := at.In(zone).Clock()
	day := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	if w.To <= w.From {
		return day >= w.From || day < w.To
	}
	return day >= w.From && day < w.To
}
