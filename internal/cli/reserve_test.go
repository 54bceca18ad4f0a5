package cli

import (
	"strings"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/source/kolla"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

// TestReserve: below it images are refused with what to do, and nothing else is; a reserve that is met refuses nothing.
func TestReserve(t *testing.T) {
	s := newPruneSite(t, 1)
	v := s.open("local")
	defer v.Close(t.Context())
	a, _, _ := testApp("")
	for _, c := range []struct {
		source  string
		reserve float64
		refused bool
	}{{rbd.SourceName, 1, true}, {rbd.SourceName, 0, false}, {kolla.SourceName, 1, false}} {
		cfg, err := config.Load(s.file)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Tiers[0].Reserve, cfg.RBD = c.reserve, &config.RBD{}
		from := setup{cfg: cfg, v: v, described: func() (*cloud, error) { return nil, problem.New(problem.Failed, "", "not described") }}
		_, err = a.withRoom(t.Context(), from, c.source)
		if refused := err != nil && strings.Contains(err.Error(), "less than its reserve"); refused != c.refused || refused && !strings.Contains(problem.HintOf(err), "holdfast prune local") {
			t.Errorf("%s with a reserve of %v: %v", c.source, c.reserve, err)
		}
	}
	for _, c := range []struct {
		sources []string
		reserve float64
		refused bool
	}{
		{[]string{rbd.SourceName}, 1, true}, {[]string{rbd.SourceName}, 0, false}, {nil, 1, false},
		{[]string{kolla.SourceName, rbd.SourceName}, 1, false}, {[]string{kolla.SourceName}, 1, false},
	} {
		err := noRoomFor(v, config.Tier{Name: "far", Reserve: c.reserve})(t.Context(), vault.Sealed{Sources: c.sources})
		if refused := err != nil && strings.Contains(err.Error(), "tier far"); refused != c.refused {
			t.Errorf("a point of %v with a reserve of %v: %v", c.sources, c.reserve, err)
		}
	}
	s.replace("reserve: 0%", "reserve: 99%")
	s.want(0, "its reserve is 99 %", "prune", "local", "--dry-run")
}
