package serve

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/coverage"
)

// TestReloadTellsWhatIsKnown: who listens from then on hears of the last look, and another one is had.
func TestReloadTellsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: off", 1))
		w.overview = &coverage.Overview{At: time.Now()}
		w.runs(func(d *Daemon) {
			time.Sleep(time.Minute)
			heard, looks := w.heard, w.looks
			w.overview = nil // tells nothing more
			d.Reload()
			synctest.Wait()
			if w.heard != heard+1 || w.looks != looks+1 {
				t.Errorf("heard %d, looked %d", w.heard-heard, w.looks-looks)
			}
		})
	})
}
