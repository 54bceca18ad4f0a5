package fault

import (
	"testing"
	"time"

	"holdfast/internal/point"
)

// await polls until ready.
func await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for tick := time.NewTicker(50 * time.Millisecond); !ready(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func reasonOf(p point.Point, component string) string {
	c, _ := p.Component("mariadb", component)
	return c.Reason
}
