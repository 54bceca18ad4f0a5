package restore

import (
	"testing"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

func TestCephCluster(t *testing.T) {
	part := func(name string, s point.ComponentState) point.Component {
		return point.Component{Source: "ceph", Name: name, State: s}
	}
	east, west, broken := part("east", point.Good), part("west", point.ComponentPartial), part("north", point.ComponentFailed)
	for _, c := range []struct {
		held       []point.Component
		name, want string
		kind       problem.Kind
	}{
		{[]point.Component{west, broken}, "", "west", 0},
		{[]point.Component{east, west}, "west", "west", 0},
		{[]point.Component{east, west}, "", "", problem.Usage},
		{[]point.Component{east}, "west", "", problem.NotFound},
		{[]point.Component{broken}, "north", "", problem.NotFound},
		{nil, "", "", problem.NotFound},
	} {
		got, err := CephCluster(point.Point{Components: c.held}, c.name)
		if got != c.want || (err != nil) != (c.kind != 0) || err != nil && problem.KindOf(err) != c.kind {
			t.Errorf("%q of %d: %q, %v", c.name, len(c.held), got, err)
		}
	}
}
