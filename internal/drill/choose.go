package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// Newest chooses the newest point in which a shard is good.
func Newest(points []point.Point, shard int) (point.Point, error) {
	points = slices.Clone(points)
	point.Sort(points)
	for _, p := range slices.Backward(points) {
		if holds(p, shard) {
			return p, nil
		}
	}
	return point.Point{}, none(shard)
}

// Longest chooses, of the points in which a shard is good, the one of which it was not drilled for the longest time: one that never was
// counts from when it was taken.
func Longest(points []point.Point, drills []point.Drill, shard int) (chosen point.Point, err error) {
	last := map[string]time.Time{}
	for _, d := range drills {
		if d.Source == mariadb.SourceName && d.Shard == shard && d.State != point.Undone && d.Started.After(last[d.Point]) {
			last[d.Point] = d.Started
		}
	}
	var since time.Time
	for _, p := range points {
		if !holds(p, shard) {
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
		return chosen, none(shard)
	}
	return chosen, nil
}

// Shards are the numbers of the shards that the newest point knows of which holds a good copy of any.
func Shards(points []point.Point) ([]int, error) {
	points = slices.Clone(points)
	point.Sort(points)
	for _, p := range slices.Backward(points) {
		var numbers []int
		good := false
		for _, c := range p.Components {
			var n int
			if _, err := fmt.Sscanf(c.Name, "shard%d/", &n); err != nil || c.Source != mariadb.SourceName {
				continue
			}
			numbers, good = append(numbers, n), good || c.State == point.Good
		}
		if good {
			slices.Sort(numbers)
			return slices.Compact(numbers), nil
		}
	}
	return nil, problem.New(problem.NotFound, "holdfast points lists what there is", "no point holds a good copy of any shard")
}

// holds reports whether all copies of a shard that the point should hold are good. Other shards do not matter: a point that was taken
// before a shard was added is good, and holds nothing of it.
func holds(p point.Point, shard int) bool {
	p.Components = slices.DeleteFunc(slices.Clone(p.Components), func(c point.Component) bool {
		return !strings.HasPrefix(c.Name, fmt.Sprintf("shard%d/", shard))
	})
	return p.SourceGood(mariadb.SourceName)
}

func none(shard int) error {
	return problem.New(problem.NotFound, "holdfast points lists what there is; a POINT that is named is drilled for what is good in it",
		"no point holds good copies of shard %d", shard)
}
