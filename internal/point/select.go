package point

import (
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// Sort orders points from the oldest to the newest.
func Sort(points []Point) {
	slices.SortFunc(points, func(a, b Point) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Select finds the point an operator means: an id, a unique prefix of one, "latest" (the newest complete point), or
// "latest:SOURCE" (the newest point in which that source is good). Not finding one is a problem of kind NotFound.
func Select(points []Point, name string) (Point, error) {
	points = slices.Clone(points)
	Sort(points)
	if source, ok := strings.CutPrefix(name, "latest:"); ok {
		return newest(points, "no point holds a good copy of "+source, func(p Point) bool { return p.SourceGood(source) })
	}
	if name == "latest" {
		return newest(points, "no point is complete", func(p Point) bool { return p.State == Complete })
	}
	return byPrefix(points, name)
}

func newest(points []Point, none string, ok func(Point) bool) (Point, error) {
	for _, p := range slices.Backward(points) {
		if ok(p) {
			return p, nil
		}
	}
	return Point{}, problem.New(problem.NotFound, "holdfast points lists what there is; latest:SOURCE finds the newest good copy of one source", "%s", none)
}

func byPrefix(points []Point, prefix string) (Point, error) {
	var found []Point
	for _, p := range points {
		if p.ID == prefix {
			return p, nil
		}
		if strings.HasPrefix(p.ID, prefix) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1 && prefix != "":
		return found[0], nil
	case len(found) > 1:
		return Point{}, problem.New(problem.Usage, "give more of the id", "%d points begin with %q", len(found), prefix)
	}
	return Point{}, problem.New(problem.NotFound, "holdfast points lists what there is", "no point is named %q", prefix)
}
