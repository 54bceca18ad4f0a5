package serve

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/coverage"
)

// TestListenersHear: who listens after a reload hears of the last look, of the next one that sees nothing, and of a file that is broken,
// until it is mended.
func TestListenersHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: off", 1))
		w.overview = &coverage.Overview{At: time.Now(), Tiers: []coverage.Tier{{Tier: "local"}}}
		w.runs(func(d *Daemon) {
			time.Sleep(time.Minute)
			heard, looks := w.heard, w.looks
			hears := func(what, broken string) {
				t.Helper()
				synctest.Wait()
				var got []string
				for _, b := range w.last.Broken {
					got = append(got, fmt.Sprint(b.Promise, b.Tier, b.Source))
				}
				if w.heard == heard || strings.Join(got, " ") != broken {
					t.Errorf("%s: heard %d times, the last time of %q", what, w.heard-heard, got)
				}
				heard = w.heard
			}
			before := w.cfg
			w.overview = nil // no tier opens
			d.Reload()
			hears("the last look, and one that sees nothing", "tierlocal daemonstatus")
			if w.looks != looks+1 || w.last.Tiers[0].Error == "" {
				t.Errorf("looked %d times, and the tier is %+v", w.looks-looks, w.last.Tiers[0])
			}
			w.cfg = "cloud: ["
			d.Reload()
			hears("a file that is broken", "tierlocal daemonconfig daemonstatus")
			w.cfg, w.overview = before, &coverage.Overview{At: time.Now(), Tiers: []coverage.Tier{{Tier: "local"}}}
			d.Reload()
			hears("all is well again", "")
		})
	})
}

// TestBlindFromTheBeginning: that no look ever saw anything is told, as of no time, of every tier that is configured.
func TestBlindFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: off", 1))
		w.overview = nil
		w.runs(func(*Daemon) { time.Sleep(time.Minute) })
		var got []string
		for _, b := range w.last.Broken {
			got = append(got, fmt.Sprint(b.Promise, b.Tier, b.Source))
		}
		if strings.Join(got, " ") != "tierlocal tierdisk daemonstatus" || w.last.Cloud != "c" || !w.last.At.IsZero() {
			t.Errorf("heard %+v", w.last)
		}
		for _, tier := range w.last.Tiers {
			if tier.URL == "" || !strings.Contains(tier.Error, "no vault opens") {
				t.Errorf("heard of %+v", tier)
			}
		}
	})
}
