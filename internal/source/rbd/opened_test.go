package rbd

import (
	"errors"
	"testing"

	"holdfast/internal/cephcmd"
	"holdfast/internal/source"
)

// TestUnopenedImageIsNotJudgedBySize: an image that cannot be opened has no size: no rule of sizes may leave it out without a failure.
func TestUnopenedImageIsNotJudgedBySize(t *testing.T) {
	for name, p := range map[string]Policy{
		"exclude smaller": {Exclude: selectors{{Smaller: 10 << 30}}},
		"include larger":  {Include: selectors{{Larger: 1 << 30}}},
	} {
		var plan source.Plan
		s, all := New(Options{Choose: p}), pools()[:1]
		s.held = map[string]*image{}
		all[0].images = []cephcmd.Image{{Name: "volume-" + id("1"), Err: errors.New("rbd: error opening image: (5) Input/output error")}}
		j := s.judge(t.Context(), all)
		s.planPool(&all[0], nil, j, &plan)
		if got := plan.Skipped[0]; !got.Required {
			t.Errorf("%s: not required, since %q", name, got.Reason)
		}
	}
}
