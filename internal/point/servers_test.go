package point

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServers(t *testing.T) {
	image := func(server, word string, skew float64, state ComponentState) Component {
		return Component{
			State: state, Identity: map[string]any{"server": server, "server_name": "name of " + server},
			Proof: map[string]any{"consistency": word, "server_skew_seconds": skew},
		}
	}
	p := Point{Components: []Component{
		image("a", Frozen, 0.4, Good), image("b", Crash, 2, Good), {State: Good}, image("a", Frozen, 0.4, Good), image("b", Frozen, 2, Good),
		image("c", Crash, 0, Good), image("d", Frozen, 0, Good), image("e", Frozen, 1, ComponentFailed), image("d", Crash, 0, ComponentFailed),
	}}
	want := []Server{
		{ID: "a", Name: "name of a", Images: 2, Consistency: Frozen, SkewSeconds: 0.4},
		{ID: "b", Name: "name of b", Images: 2, Consistency: Crash, SkewSeconds: 2},
		{ID: "d", Name: "name of d", Images: 1, Consistency: Frozen},
	}
	if diff := cmp.Diff(want, p.Servers()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
