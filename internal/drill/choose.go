package drill

import (
	"time"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// Longest chooses, of the points in which a source is good, the one of which a shard was not drilled for the longest time: one that never
// was counts from when it was taken.
func Longest(points []point.Point, drills []point.Drill, source string, shard int) (chosen point.Point, err error) {
	last := map[string]time.Time{}
	for _, d := range drills {
		if d.Source == source && d.Shard == shard && d.State != point.Undone && d.Started.After(last[d.Point]) {
			last[d.Point] = d.Started
		}
	}
	var since time.Time
	for _, p := range points {
		if !p.SourceGood(source) {
			continue
		}
		at, ok := last[p.ID]
		if !ok {
			at = p.Started
		}
		if chosen.ID == "" || at.Before(since) {
			chosen, since = p, at
		}
	}
	if chosen.ID == "" {
		return chosen, problem.New(problem.NotFound, "holdfast points lists what there is", "no point holds a good copy of %s", source)
	}
	return chosen, nil
}
