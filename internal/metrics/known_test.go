package metrics

import (
	"testing"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/job"
)

// TestWhatIsConfiguredNoMore has no series that an alert would fire on for ever, and has them again once it is configured anew.
func TestWhatIsConfiguredNoMore(t *testing.T) {
	old := known(t, false)
	o := old.opts
	o.Sources = []string{"kolla"}
	o.Jobs = []job.Job{{Name: "database", Steps: []job.Step{{Args: []string{"backup", "mariadb"}, Uses: []string{"source:mariadb"}}}}}
	m := New(o)
	m.Overview(overview())
	got := scrape(t, m.Handler())
	for _, name := range []string{`holdfast_run_status{job="database",step="replicate",tier="s3"}`, `backup_last_status{source="mariadb"}`} {
		if _, ok := got[name]; ok {
			t.Errorf("there is %s", name)
		}
	}
	if name := `holdfast_run_status{job="database",step="backup",tier=""}`; got[name] != "1" {
		t.Errorf("%s is %q", name, got[name])
	}
	if name := `holdfast_run_status{job="database",step="replicate",tier="s3"}`; scrape(t, New(old.opts).Handler())[name] != "0" {
		t.Errorf("%s was forgotten", name)
	}
}

// TestBlindFromTheBeginning: before any look has seen something there are the tiers and what is broken, and nothing of which a rule would
// think that somebody has seen it.
func TestBlindFromTheBeginning(t *testing.T) {
	m := New(Options{Now: func() time.Time { return t0 }})
	o := coverage.Overview{Tiers: []coverage.Tier{{Tier: "local"}}}
	o.Darken("wrong passphrase")
	m.Overview(o)
	got := scrape(t, m.Handler())
	for _, name := range []string{"holdfast_overview_timestamp_seconds", "holdfast_kit_confirmed", "holdfast_vault_bytes", "holdfast_unserved_images"} {
		if value, ok := got[name]; ok {
			t.Errorf("%s is %s", name, value)
		}
	}
	if up, broken := got[`holdfast_tier_up{tier="local"}`], got[`holdfast_promise_broken{promise="tier",source="",tier="local"}`]; up != "0" || broken != "1" {
		t.Errorf("the tier is up: %q, broken: %q", up, broken)
	}
}
