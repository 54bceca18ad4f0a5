package vault

import (
	"context"
	"time"

	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/maintenancestats"

	"holdfast/internal/problem"
)

// How kopia spaces what it does beside writers: a content nobody refers to is left alone for ContentAge, a cycle marks it, the
// next one unmarks what was taken into use meanwhile, and the one after that drops it, with its pack if that is all unused. Cycles that
// are less than CycleApart from each other count as one.
const (
	ContentAge = 24 * time.Hour
	CycleApart = 4*time.Hour + 5*time.Minute
	// FullEvery and QuickEvery are how often a cycle is due where nothing waits for one.
	FullEvery  = 24 * time.Hour
	QuickEvery = time.Hour
	// cyclesToFree is how many cycles come after the one that marks a content until its pack is gone, if all of that is unused.
	cyclesToFree = 2
)

// Cycles says when maintenance was done last, by the clock of whoever did it, and what waits for it.
type Cycles struct {
	Last, Quick time.Time // a full cycle, and any; zero where there was none
	Waiting     int64     // bytes of contents that the last full cycle found unused

	freed []freed
}

type freed struct {
	at    time.Time
	bytes int64
}

// Cycles reads what maintenance noted.
func (v *Vault) Cycles(ctx context.Context) (c Cycles, err error) {
	s, err := maintenance.GetSchedule(ctx, v.repo)
	if err != nil {
		return c, problem.Wrap(err, "read when vault was maintained", v.loc.URL)
	}
	for task, runs := range s.Runs {
		for _, r := range runs {
			if r.End.After(c.Quick) {
				c.Quick = r.End
			}
			if r.Success {
				c.note(task, r)
			}
		}
	}
	return c, nil
}

func (c *Cycles) note(task maintenance.TaskType, r maintenance.RunInfo) {
	for _, x := range r.Extra {
		stats, err := maintenancestats.BuildFromExtra(x)
		if err != nil {
			continue // of another version
		}
		switch st := stats.(type) {
		case *maintenancestats.SnapshotGCStats:
			if r.Start.After(c.Last) {
				c.Waiting = int64(st.UnreferencedContentSize + st.UnreferencedRecentContentSize)
			}
		case *maintenancestats.DeleteUnreferencedPacksStats:
			c.freed = append(c.freed, freed{r.Start, int64(st.DeletedTotalSize)})
		}
	}
	if task == maintenance.TaskSnapshotGarbageCollection && r.Start.After(c.Last) {
		c.Last = r.Start
	}
}

// freedSince is how many bytes were freed since earlier cycles.
func (c Cycles) freedSince(earlier Cycles) (n int64) {
	for _, f := range c.freed {
		if f.at.After(earlier.Quick) {
			n += f.bytes
		}
	}
	return n
}

// Due returns from when on the next full cycle does some good: soon where space waits for one.
func (c Cycles) Due(waiting bool) time.Time {
	switch {
	case c.Last.IsZero():
		return time.Time{}
	case waiting:
		return c.Last.Add(CycleApart)
	}
	return c.Last.Add(FullEvery)
}

// Back is when the space of what was written at a time, and is removed now, is back at the earliest: that takes so many cycles
// from then on.
func (c Cycles) Back(written, now time.Time) (at time.Time, cycles int) {
	first := now
	for _, t := range []time.Time{c.Due(true), written.Add(ContentAge)} {
		if t.After(first) {
			first = t
		}
	}
	return first.Add(cyclesToFree * CycleApart), cyclesToFree + 1
}
