package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/config"
)

// Limits say what is sudden. Those that are zero have their defaults.
type Limits struct {
	Skew   time.Duration // by which records may be ahead of the clock; 1 hour
	Jump   time.Duration // at most between two records, or thrice what is usual there if that is more; 3 days
	Share  float64       // of the points with something good that may leave at once; 0.5
	Points int           // that may leave at once; 100
	Shrink float64       // to which share of what it was a source may shrink; 0.5
}

// fewPoints may leave whatever share they are.
const fewPoints = 5

func (l Limits) orDefault() Limits {
	return Limits{
		Skew: cmp.Or(l.Skew, time.Hour), Jump: cmp.Or(l.Jump, 3*config.Day), Share: cmp.Or(l.Share, 0.5),
		Points: cmp.Or(l.Points, 100), Shrink: cmp.Or(l.Shrink, 0.5),
	}
}

// Doubt is a sudden change that somebody should know of before points leave.
type Doubt struct {
	Kind DoubtKind `json:"kind"`
	Text string    `json:"text"`
}

// DoubtKind names what is sudden.
type DoubtKind string

// The kinds of doubts.
const (
	ClockBehind DoubtKind = "clock_behind" // of what the vault recorded
	ClockAhead  DoubtKind = "clock_ahead"  // further than the time between records explains
	LatePoint   DoubtKind = "late_point"   // leaves before any plan has seen it
	ManyPoints  DoubtKind = "many_points"  // leave
	Shrunk      DoubtKind = "shrunk"       // a source
	StoreClock  DoubtKind = "store_clock"  // the clocks of the store and of this host differ
	ViewLost    DoubtKind = "view_lost"    // nobody can tell what the last plan saw
)

// doubts looks at the plan as a whole.
func (t *table) doubts() []Doubt {
	all := []Doubt{}
	if t.ViewLost {
		all = append(all, Doubt{ViewLost, "what the last prune saw cannot be read, so nobody can tell what has changed since"})
	}
	if apart := t.Now.Sub(t.Store).Abs(); !t.Store.IsZero() && apart > t.Skew {
		all = append(all, Doubt{StoreClock, fmt.Sprintf("the clock of the vault's store is %s from that of this host: %s", span(apart), stamp(t.Store))})
	}
	all = append(all, t.clockDoubts()...)
	all = append(all, t.lateDoubts()...)
	all = append(all, t.manyDoubts()...)
	return append(all, t.shrinkDoubts()...)
}

// clockDoubts compares the clock with what the vault recorded, and the records with each other.
func (t *table) clockDoubts() (all []Doubt) {
	records := t.records()
	if len(records) == 0 {
		return nil
	}
	newest := records[len(records)-1]
	if ahead := newest.Sub(t.Now); ahead > t.Skew {
		return []Doubt{{ClockBehind, fmt.Sprintf("the newest record in the vault is %s ahead of the clock: %s", span(ahead), stamp(newest))}}
	}
	most := max(t.Jump, 3*usualGap(records))
	for i, at := range append(records[1:len(records):len(records)], t.Now) {
		if gap := at.Sub(records[i]); gap > most && t.unseen(at) {
			all = append(all, Doubt{ClockAhead, fmt.Sprintf("between %s and %s the vault has no record for %s: the clock may have jumped, or backups failed",
				stamp(records[i]), stamp(at), span(gap))})
		}
	}
	return all
}

// unseen reports whether the time is later than all that a plan has seen.
func (t *table) unseen(at time.Time) bool { return t.View == nil || at.After(t.View.At) }

// records are the times that the vault knows of, ascending.
func (t *table) records() (all []time.Time) {
	for i := range t.rows {
		for _, at := range []time.Time{t.rows[i].Started, t.rows[i].Finished} {
			if !at.IsZero() {
				all = append(all, at)
			}
		}
	}
	if t.View != nil && !t.View.At.IsZero() {
		all = append(all, t.View.At)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// usualGap is the median time between points, of the newest ones. Records come in pairs, the start and the end of a run.
func usualGap(records []time.Time) time.Duration {
	var gaps []time.Duration
	newest := records[max(0, len(records)-30):]
	for i := 2; i < len(newest); i++ {
		gaps = append(gaps, newest[i].Sub(newest[i-2]))
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// lateDoubts finds points that no plan has seen, that say they are older than the last plan, and that would leave at once.
func (t *table) lateDoubts() []Doubt {
	if t.View == nil {
		return nil
	}
	var late []string
	for i := range t.rows {
		r := &t.rows[i]
		if len(r.leaves) > 0 && len(r.holds) > 0 && r.Started.Before(t.View.At.Add(-t.Skew)) && !slices.Contains(t.View.Points, r.ID) {
			late = append(late, r.ID)
		}
	}
	if len(late) == 0 {
		return nil
	}
	return []Doubt{{LatePoint, "came into the vault since the last prune and would leave at once, by the time that they say they were begun: " + several(late)}}
}

func (t *table) manyDoubts() []Doubt {
	var good, leave int
	for i := range t.rows {
		if r := &t.rows[i]; len(r.holds) > 0 {
			good++
			if len(r.leaves) > 0 {
				leave++
			}
		}
	}
	if leave > t.Limits.Points || leave >= fewPoints && float64(leave) > t.Share*float64(good) {
		return []Doubt{{ManyPoints, fmt.Sprintf("%d of the %d points with something good in them would leave at once", leave, good)}}
	}
	return nil
}

// shrinkDoubts compares what the newest good run of each source holds with what was there before.
func (t *table) shrinkDoubts() (all []Doubt) {
	for _, source := range t.sources() {
		now, before, ok := t.sizes(source)
		if !ok {
			continue
		}
		var what []string
		if float64(now.Components) < t.Shrink*float64(before.Components) {
			what = append(what, fmt.Sprintf("%d components where there were %d", now.Components, before.Components))
		}
		if now.Bytes > 0 && float64(now.Bytes) < t.Shrink*float64(before.Bytes) {
			what = append(what, fmt.Sprintf("%d bytes where there were %d", now.Bytes, before.Bytes))
		}
		if len(what) > 0 {
			all = append(all, Doubt{Shrunk, source + " has shrunk: " + strings.Join(what, ", ")})
		}
	}
	return all
}

// span says roughly how long d is.
func span(d time.Duration) string {
	switch {
	case d >= 2*config.Day:
		return fmt.Sprintf("%d days", d/config.Day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
