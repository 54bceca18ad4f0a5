package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

const (
	reference = "../../docs/ops/metrics.md"
	runbooks  = "../../docs/ops/runbooks.md"
	rulesDir  = "../../packaging/prometheus"
	dashboard = "../../packaging/grafana/holdfast.json"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// row is what the reference says of a family.
func (f *family) row() string {
	kind := map[prometheus.ValueType]string{prometheus.GaugeValue: "gauge", prometheus.CounterValue: "counter"}[f.kind]
	labels := "none"
	if len(f.labels) > 0 {
		labels = "`" + strings.Join(f.labels, "`, `") + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.name, kind, labels, f.help)
}

// TestReference: every family has its row in the reference, as it describes itself, and no row is of one that is not there.
func TestReference(t *testing.T) {
	text := read(t, reference)
	known := map[string]bool{}
	for _, f := range families {
		known[f.name] = true
		if !strings.Contains(text, f.row()) {
			t.Errorf("%s lacks: %s", reference, f.row())
		}
	}
	for _, name := range used(text) {
		if !known[name] {
			t.Errorf("%s speaks of %s, which is not there", reference, name)
		}
	}
}

var metricName = regexp.MustCompile(`\b(?:holdfast|backup)_[a-z0-9_]+\b`)

// used are the names in a text that look like metrics of ours.
func used(text string) []string { return metricName.FindAllString(text, -1) }

type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(rulesDir, "holdfast.rules.yml"))), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// TestRules: every alert is of metrics that there are, says what it is about, has a runbook entry, a row in the reference and a test.
func TestRules(t *testing.T) {
	known := map[string]bool{}
	for _, f := range families {
		known[f.name] = true
	}
	tests := read(t, filepath.Join(rulesDir, "holdfast.rules.test.yml")) + read(t, filepath.Join(rulesDir, "holdfast.slow.test.yml"))
	books, text := read(t, runbooks), read(t, reference)
	all := rules(t)
	for _, r := range all {
		for _, name := range used(r.Expr) {
			if !known[name] {
				t.Errorf("%s asks for %s, which is not there", r.Alert, name)
			}
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Annotations["runbook_url"] != "docs/ops/runbooks.md#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: annotations %v", r.Alert, r.Annotations)
		}
		if !strings.Contains(tests, "- name: "+r.Alert+"\n") {
			t.Errorf("%s has no test", r.Alert)
		}
		if !strings.Contains(text, fmt.Sprintf("| [%s](runbooks.md#%s) | %s |", r.Alert, strings.ToLower(r.Alert), r.Labels["severity"])) {
			t.Errorf("%s has no row in %s", r.Alert, reference)
		}
		_, entry, _ := strings.Cut(books, "## "+r.Alert+"\n")
		entry, _, _ = strings.Cut(entry, "\n## ")
		for _, part := range []string{"**Means:**", "**At risk:**", "**Do:**"} {
			if !strings.Contains(entry, part) {
				t.Errorf("the runbook entry of %s lacks %s", r.Alert, part)
			}
		}
	}
	if n := strings.Count(books, "\n## "); n != len(all) {
		t.Errorf("%d runbook entries for %d alerts", n, len(all))
	}
}

// TestRulesBefore: the rules that were used before are as they were.
func TestRulesBefore(t *testing.T) {
	all := rules(t)
	for alert, expr := range map[string]string{
		"BackupTooOld": "time() - backup_last_success_timestamp > 86400 * 2", "BackupFailed": "backup_last_status == 0",
		"BackupStorageLow": "backup_storage_free_bytes < 50 * 1024 * 1024 * 1024",
	} {
		found := false
		for _, r := range all {
			found = found || r.Alert == alert && r.Expr == expr
		}
		if !found {
			t.Errorf("%s is not as it was", alert)
		}
	}
}

// TestRulesFire has Prometheus's own tool test each alert.
func TestRulesFire(t *testing.T) {
	promtool(t, "check", "rules", filepath.Join(rulesDir, "holdfast.rules.yml"))
	for _, file := range []string{"holdfast.rules.test.yml", "holdfast.slow.test.yml"} {
		promtool(t, "test", "rules", filepath.Join(rulesDir, file))
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestDashboard: every query of the dashboard is one that Prometheus reads, of metrics that there are.
func TestDashboard(t *testing.T) {
	var board struct {
		Title  string
		UID    string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"process_resident_memory_bytes": true, "process_cpu_seconds_total": true}
	for _, f := range families {
		known[f.name] = true
	}
	var exprs []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			if len(used(target.Expr)) == 0 && !strings.Contains(target.Expr, "process_") {
				t.Errorf("%s: %q asks for nothing of ours", p.Title, target.Expr)
			}
			exprs = append(exprs, target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		exprs = append(exprs, v.Query)
	}
	for _, e := range exprs {
		for _, name := range used(e) {
			if !known[name] {
				t.Errorf("%q asks for %s, which is not there", e, name)
			}
		}
	}
	if len(exprs) < 15 || board.UID == "" {
		t.Errorf("only %d queries in %q", len(exprs), board.Title)
	}
	readable(t, exprs)
}

// readable has Prometheus's own tool read queries, as rules.
func readable(t *testing.T, exprs []string) {
	t.Helper()
	var file strings.Builder
	file.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range exprs {
		if e != "prometheus" {
			fmt.Fprintf(&file, "  - {record: 'x%d', expr: %q}\n", i, strings.ReplaceAll(e, "$__rate_interval", "5m"))
		}
	}
	name := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", name)
}
