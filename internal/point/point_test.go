package point

import (
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/problem"
)

var t0 = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func comp(source string, state ComponentState, required bool) Component {
	return Component{Source: source, Name: source + "-" + string(state), State: state, Required: required}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []Component
		want State
	}{
		{"nothing planned is no success", nil, Failed},
		{"all good", []Component{comp("mariadb", Good, true), comp("kolla", Good, true)}, Complete},
		{"a required one failed", []Component{comp("mariadb", ComponentFailed, true), comp("kolla", Good, true)}, Partial},
		{"a required one skipped", []Component{comp("mariadb", Good, true), comp("kolla", Skipped, true)}, Partial},
		{"a tolerated one skipped", []Component{comp("mariadb", Good, true), comp("kolla", Skipped, false)}, Complete},
		{"an optional one failed is told", []Component{comp("mariadb", Good, true), comp("kolla", ComponentFailed, false)}, Partial},
		{"only failures", []Component{comp("mariadb", ComponentFailed, true), comp("kolla", Skipped, true)}, Failed},
		{"only a partial one", []Component{comp("kolla", ComponentPartial, true)}, Partial},
	} {
		if got, _ := Judge(c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWhole(t *testing.T) {
	p := Point{Components: []Component{
		{Source: "rbd", State: Good}, {Source: "rbd", State: ComponentFailed},
		{Source: "mariadb", State: Good, Required: true}, {Source: "mariadb", State: Skipped},
		{Source: "kolla", State: Skipped, Required: true}, {Source: "kolla", State: Good},
		{Source: "ceph", State: Skipped},
	}}
	if got := p.Whole(); !slices.Equal(got, []string{"mariadb"}) {
		t.Errorf("whole are %v", got)
	}
}

func TestSkew(t *testing.T) {
	at := func(d time.Duration) *time.Time { x := t0.Add(d); return &x }
	cs := []Component{
		{State: Good, At: at(5 * time.Second)}, {State: Good, At: at(2 * time.Second)}, {State: Good},
		{State: ComponentFailed, At: at(time.Hour)}, {State: Good, Mode: Unchanged, At: at(-30 * 24 * time.Hour)},
	}
	if _, skew := Judge(cs); skew != 3 {
		t.Errorf("skew %v s, want 3: failed components, those without a moment and those taken over do not count", skew)
	}
}

func TestSelect(t *testing.T) {
	points := []Point{
		{ID: "20260301-020000-aaaa", Started: t0, State: Complete, Components: []Component{comp("mariadb", Good, true)}},
		{ID: "20260302-020000-bbbb", Started: t0.Add(24 * time.Hour), State: Partial, Components: []Component{comp("mariadb", Good, true), comp("kolla", ComponentFailed, true)}},
		{ID: "20260302-030000-cccc", Started: t0.Add(25 * time.Hour), State: Failed, Components: []Component{comp("mariadb", ComponentFailed, true)}},
	}
	for _, c := range []struct {
		name, want string
		kind       problem.Kind
	}{
		{"latest", "20260301-020000-aaaa", 0},
		{"latest:mariadb", "20260302-020000-bbbb", 0},
		{"latest:kolla", "", problem.NotFound},
		{"20260301", "20260301-020000-aaaa", 0},
		{"20260302-030000-cccc", "20260302-030000-cccc", 0},
		{"20260302", "", problem.Usage},
		{"2027", "", problem.NotFound},
		{"", "", problem.Usage},
	} {
		got, err := Select(points, c.name)
		if c.want != "" && (err != nil || got.ID != c.want) {
			t.Errorf("%q: got %q, %v; want %q", c.name, got.ID, err, c.want)
		}
		if c.want == "" && (err == nil || problem.KindOf(err) != c.kind || problem.HintOf(err) == "") {
			t.Errorf("%q: got %q, %v; want a problem of kind %d with a hint", c.name, got.ID, err, c.kind)
		}
	}
}

func TestNewIDSortsByTime(t *testing.T) {
	a, b := NewID(t0), NewID(t0.Add(time.Second))
	if a >= b || !strings.HasPrefix(a, "20260301-020000-") || len(a) != 20 {
		t.Errorf("ids %q, %q do not sort by time", a, b)
	}
}
