package cli

import (
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/point"
	"holdfast/internal/source/rbd"
)

// TestDoubtOfKeptCopy: what a failed capture found wrong with a copy in a checkpoint is known to the next run, too.
func TestDoubtOfKeptCopy(t *testing.T) {
	at := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	good := func(n int) point.Component {
		return point.Component{Source: "rbd", Name: "volumes/a", State: point.Good, Started: at(n)}
	}
	failed := point.Component{Source: "rbd", Name: "volumes/a", State: point.ComponentFailed, Started: at(3), Identity: map[string]any{rbd.Doubt: "a sample differs"}}
	points := []point.Point{{ID: "p1", Components: []point.Component{good(1)}}, {ID: "p3", Components: []point.Component{failed}}}
	found := map[string]rbd.Copy{"volumes/a": {Point: "p1", Component: good(1)}}
	replace(found, []backup.Checkpoint{{Run: "r2", Components: []point.Component{good(2)}}}, points)
	if a := found["volumes/a"]; a.Point != "r2" || a.Doubt == "" {
		t.Errorf("a: %+v", a)
	}
	found = map[string]rbd.Copy{}
	replace(found, []backup.Checkpoint{{Run: "r4", Components: []point.Component{good(4)}}}, points)
	if a := found["volumes/a"]; a.Doubt != "" {
		t.Errorf("newer than the doubt: %+v", a)
	}
}
