package source

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnly(t *testing.T) {
	plan := Plan{
		Tasks: []Task{
			{Name: "shard0/physical", Required: true, Reason: "synced"},
			{Name: "shard0/logical", Required: true, Reason: "synced"},
			{Name: "ctl1", Required: true},
		},
		Skipped: []Task{{Name: "shard1/physical", Required: true, Reason: "down"}, {Name: "cmp1", Required: true, Reason: "down"}},
		Notes:   []string{"a note"},
	}
	none := "not asked for: only */physical"
	want := Plan{
		Tasks: []Task{{Name: "shard0/physical", Required: true, Reason: "synced"}},
		Skipped: []Task{
			{Name: "shard0/logical", Reason: none},
			{Name: "ctl1", Reason: none},
			{Name: "shard1/physical", Required: true, Reason: "down"},
			{Name: "cmp1", Reason: none},
		},
		Notes: []string{"a note"},
	}
	if diff := cmp.Diff(want, plan.Only("*/physical")); diff != "" {
		t.Errorf("only */physical (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(plan, plan.Only("")); diff != "" {
		t.Errorf("an empty pattern changed the plan (-want +got):\n%s", diff)
	}
	if got := plan.Only("["); len(got.Tasks) != 0 {
		t.Errorf("a malformed pattern kept %v", got.Tasks)
	}
}
