package serve

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverdueJobKeepsItsTime: what hangs and lets its next time pass does not look as if that were to come.
func TestOverdueJobKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: {when: daily 03:00, then: false}, database: off", 1))
		w.takes = 1000 * time.Hour
		w.runs(func(d *Daemon) {
			time.Sleep(30 * time.Hour)
			if next := viewOf(d).Next; next[0].At == nil || next[0].At.Format("02 15:04") != "02 03:00" {
				t.Errorf("%+v at %v", next, time.Now())
			}
		})
	})
}
