package notify

import (
	"time"

	"holdfast/internal/config"
)

// previous is the newest moment at or before now at which a digest was due; zero when none ever is.
func previous(d config.Digest, now time.Time) time.Time {
	if d.Every != "daily" && d.Every != "weekly" {
		return time.Time{}
	}
	for back := range 9 {
		at := onDay(d, now, -back)
		if !at.After(now) && (d.Every == "daily" || at.Weekday() == d.Day) {
			return at
		}
	}
	return time.Time{}
}

// following is the next moment after now.
func following(d config.Digest, now time.Time) time.Time {
	for ahead := range 9 {
		at := onDay(d, now, ahead)
		if at.After(now) && (d.Every == "daily" || at.Weekday() == d.Day) {
			return at
		}
	}
	return time.Time{}
}

// onDay is the time of a digest some days from now, by the calendar: a day on which the clock changes has one too.
func onDay(d config.Digest, now time.Time, days int) time.Time {
	year, month, day := now.Date()
	return time.Date(year, month, day+days, int(d.At.Hours()), int(d.At.Minutes())%60, 0, 0, now.Location())
}

// addDigest puts a digest into the boxes when one is due: one, however long ago the last was.
func (t *Teller) addDigest() {
	now := t.now()
	due := func(s state) bool {
		at := previous(t.cfg.Digest, now)
		return s.Digested.After(now.Add(time.Hour)) || !at.IsZero() && s.Digested.Before(at)
	}
	if s, err := t.read(); err == nil && !due(s) {
		return
	}
	t.update(func(s *state) {
		switch {
		case s.Digested.After(now.Add(time.Hour)): // the clock was set back
			s.Digested = now
		case due(*s):
			s.Digested = now
			t.post(s, []item{{Kind: digest, Key: digest, First: now, Last: now.Add(-linger), Title: "digest", Next: "holdfast status", Done: s.Done}})
			s.Done = nil
			s.forget(now)
		}
	})
}

// untilDigest is how long it is until the next one.
func (t *Teller) untilDigest() time.Duration {
	now := t.now()
	if at := following(t.cfg.Digest, now); !at.IsZero() {
		return at.Sub(now)
	}
	return longestSleep
}
