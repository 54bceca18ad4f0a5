package metrics

import (
	"testing"

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
