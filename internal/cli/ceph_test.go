package cli

import (
	"strings"
	"testing"

	"holdfast/internal/point"
	"holdfast/internal/source/rbd"
)

// TestDoubt: what a failed capture found wrong with the copy before it is known to the next run, until a good copy follows.
func TestDoubt(t *testing.T) {
	found := map[string]rbd.Copy{"volumes/a": {Point: "p1"}, "volumes/b": {Point: "p1"}}
	p := point.Point{ID: "p2"}
	doubt(found, p, point.Component{Source: "rbd", Name: "volumes/a", Identity: map[string]any{rbd.Doubt: "a sample differs"}})
	doubt(found, p, point.Component{Source: "rbd", Name: "volumes/b", Identity: map[string]any{}})
	doubt(found, p, point.Component{Source: "rbd", Name: "volumes/new", Identity: map[string]any{rbd.Doubt: "a sample differs"}})
	doubt(found, p, point.Component{Source: "kolla", Name: "volumes/b", Identity: map[string]any{rbd.Doubt: "a sample differs"}})
	if a := found["volumes/a"]; !strings.Contains(a.Doubt, "p2") || !strings.Contains(a.Doubt, "a sample differs") || a.Point != "p1" {
		t.Errorf("a: %+v", a)
	}
	if b := found["volumes/b"]; b.Doubt != "" || len(found) != 2 {
		t.Errorf("b: %+v, %d in all", b, len(found))
	}
}
