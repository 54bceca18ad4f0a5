package point

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFold(t *testing.T) {
	var all, want []Component
	add := func(state ComponentState, required bool, reason string, n int, each bool) {
		for range n {
			c := Component{Source: "rbd", Name: fmt.Sprint(len(all)), State: state, Required: required, Reason: reason}
			all = append(all, c)
			if each {
				want = append(want, c)
			}
		}
	}
	add(Good, true, "no earlier copy", 9, true)
	add(Skipped, false, "a rule", 3, false)
	add(Skipped, true, "a rule", 9, true)
	add(Skipped, false, "another rule", 4, true)
	add(Skipped, false, "a rule", 2, false)
	add(ComponentFailed, false, "a rule", 9, true)
	each, many := Fold(all)
	if diff := cmp.Diff(want, each); diff != "" {
		t.Errorf("one by one (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]LeftOut{{"rbd", "a rule", 5}}, many); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
}
