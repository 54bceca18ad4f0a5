package coverage

import (
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/verify"
)

// TestProtections: the newest good copy counts, whatever failed, was left out or could not be planned since.
func TestProtections(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c := func(name string, state point.ComponentState, reason string) point.Component {
		return point.Component{Source: "kolla", Name: name, State: state, Reason: reason, Started: t0}
	}
	left := source.Plan{Tasks: []source.Task{{Name: "ctl2"}}}.Only("ctl1").Skipped[0].Reason
	points := []point.Point{
		{ID: "1", Components: []point.Component{c("ctl1", point.Good, "why"), c("ctl2", point.Good, "why")}},
		{ID: "2", Components: []point.Component{c(point.PlanName, point.ComponentFailed, "no inventory")}},
		{ID: "3", Components: []point.Component{c("ctl1", point.ComponentFailed, "no route"), c("ctl2", point.Skipped, left)}},
	}
	got := components(points, verify.Findings{"1": {At: t0, Damaged: 1}}, t0.Add(time.Hour))
	if len(got) != 2 {
		t.Fatalf("got %+v", got)
	}
	if x := got[0]; x.Component != "ctl1" || x.Point != "1" || x.AgeSeconds != 3600 || x.Last != "failed" || x.Reason != "no route" {
		t.Errorf("ctl1: %+v", x)
	}
	if x := got[1]; x.Point != "1" || x.Last != "good" || x.Reason != "" || !x.Damaged || x.Verified != nil {
		t.Errorf("ctl2 was not asked for since: %+v", x)
	}
	if got := components(points[:2], nil, t0); len(got) != 3 || got[2].Reason != "no inventory" {
		t.Errorf("trouble that lasts is told: %+v", got)
	}
	if got := components([]point.Point{{ID: "1", Components: []point.Component{c("ctl2", point.Skipped, left)}}}, nil, t0); got[0].Reason != neverTried || got[0].Last != "" {
		t.Errorf("what nobody ever asked for: %+v", got)
	}
	if none := unprotected(points, []string{"mariadb", "kolla"}); len(none) != 1 || none[0].Source != "mariadb" {
		t.Errorf("unprotected: %+v", none)
	}
}
