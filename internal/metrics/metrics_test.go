package metrics

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/notify"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time { at := t0.Add(-d); return &at }

// overview is a cloud with everything in it that has a series.
func overview() coverage.Overview {
	copyOf := func(tier string, d time.Duration, late bool) coverage.Copy {
		return coverage.Copy{Tier: tier, Point: "p", At: ago(d), Late: late, Verified: ago(d / 2)}
	}
	lock := t0.Add(30 * 24 * time.Hour)
	return coverage.Overview{
		Cloud: "prod", At: t0, Points: 9, Bytes: 5 << 30, Free: 70 << 30,
		Tiers: []coverage.Tier{
			{Tier: "local", Points: 9, Free: 70 << 30, Capacity: 100 << 30, Verified: ago(48 * time.Hour)},
			{Tier: "s3", Points: 7, Locks: true, LockedUntil: &lock}, {Tier: "unlocked", Locks: true}, {Tier: "far", Error: "no route"},
		},
		Components: []coverage.Component{
			{Source: "mariadb", Component: "physical", Point: "p", At: ago(time.Hour), Last: "good", Cover: coverage.Cover{
				RPOSeconds: 26 * 3600, Copies: 3, Offsite: true, LockedUntil: &lock, Drilled: ago(240 * time.Hour), Tiers: []coverage.Copy{copyOf("local", time.Hour, false), copyOf("s3", 30*time.Hour, true), {Tier: "far"}}}},
			{Source: "mariadb", Component: "logical", Point: "p", At: ago(2 * time.Hour), Last: "good", Cover: coverage.Cover{
				RPOSeconds: 26 * 3600, Copies: 2, Tiers: []coverage.Copy{copyOf("local", 2*time.Hour, false), {Tier: "s3", Point: "p", At: ago(2 * time.Hour), Damaged: true}, {Tier: "far"}}}},
			{Source: "rbd", Component: "volumes/a", Point: "p", At: ago(time.Hour), Last: "good", Cover: coverage.Cover{
				RPOSeconds: 8 * 24 * 3600, Copies: 3, Offsite: true, Tiers: []coverage.Copy{copyOf("local", time.Hour, false), copyOf("s3", time.Hour, false), {Tier: "far"}}}},
			{Source: "rbd", Component: "volumes/b", Last: "failed", Reason: "pool is full", Cover: coverage.Cover{
				RPOSeconds: 8 * 24 * 3600, Copies: 1, Tiers: []coverage.Copy{{Tier: "local", Late: true}, {Tier: "s3", Late: true}, {Tier: "far"}}}},
			{Source: "rbd", Component: "volumes/gone", Point: "p", At: ago(9999 * time.Hour), Cover: coverage.Cover{RPOSeconds: 8 * 24 * 3600, Gone: true}},
		},
		Broken:  []coverage.Broken{{Promise: "rpo", Tier: "s3", Source: "mariadb"}, {Promise: "copies"}},
		Instant: []coverage.Dependent{{Served: true}, {}},
	}
}

func results() []job.Result {
	r := func(args, tier, kind string, at time.Time, more int64) job.Result {
		x := job.Result{Job: "database", Args: strings.Fields(args), Tier: tier, Kind: kind, Started: at.Add(-time.Minute), Finished: at, Read: 10 * more, New: more}
		if kind != "" {
			x.Exit = 1
		}
		return x
	}
	backup := r("backup mariadb", "", "", t0.Add(-time.Hour), 100)
	backup.Sources = []string{"mariadb"}
	typo := r("replicate nowhere", "nowhere", "usage", t0, 0)
	typo.Job = ""
	return []job.Result{
		backup, r("replicate s3", "s3", "", t0.Add(-50*time.Minute), 70), r("replicate s3", "s3", "unreachable", t0.Add(-40*time.Minute), 0),
		r("verify --all --tier s3", "s3", "damage", t0.Add(-30*time.Minute), 0), r("verify --heal --all --tier s3", "s3", "", t0.Add(-20*time.Minute), 0), typo,
	}
}

// known is metrics that were told everything.
func known(t *testing.T, perImage bool) *Metrics {
	t.Helper()
	m := New(Options{Cloud: "prod", Version: "v1", State: t.TempDir(), PerImage: perImage, Now: func() time.Time { return t0 }, Notify: func() []notify.Status {
		return []notify.Status{
			{Way: "mail:a@b", Delivered: 2, Failures: 3, Pending: 4, Error: "refused", Since: *ago(time.Hour)}, {Way: "mail:c@d", Delivered: 1, Sent: *ago(time.Minute)}, {Way: "webhook"},
		}
	}})
	m.Overview(overview())
	for _, r := range results() {
		m.Result(r)
	}
	m.Queue(2, 1)
	m.Next(map[string]time.Time{"database": t0.Add(time.Hour)})
	return m
}

// scrape asks for /metrics and returns its series by name and labels.
func scrape(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return series(w.Body.String())
}

func series(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return all
}

// wanted are some of the series of what known was told.
var wanted = map[string]float64{
	// what today's rules expect
	`backup_last_success_timestamp{source="mariadb"}`: float64(t0.Add(-2 * time.Hour).Unix()),
	`backup_last_status{source="mariadb"}`:            1,
	`backup_last_status{source="rbd"}`:                0,
	`backup_storage_free_bytes{tier="local"}`:         70 << 30,

	`holdfast_tier_up{tier="far"}`:                                                      0,
	`holdfast_tier_verified_age_seconds{tier="s3"}`:                                     math.Inf(1),
	`holdfast_tier_verified_age_seconds{tier="local"}`:                                  48 * 3600,
	`holdfast_tier_locked_until_timestamp_seconds{tier="unlocked"}`:                     0,
	`holdfast_tier_locked_until_timestamp_seconds{tier="s3"}`:                           float64(t0.Add(30 * 24 * time.Hour).Unix()),
	`holdfast_components{source="rbd"}`:                                                 2,
	`holdfast_unprotected_components{source="rbd"}`:                                     1,
	`holdfast_late_components{source="mariadb",tier="s3"}`:                              1,
	`holdfast_damaged_components{source="mariadb",tier="s3"}`:                           1,
	`holdfast_good_age_seconds{component="physical",source="mariadb",tier="s3"}`:        30 * 3600,
	`holdfast_good_age_seconds{component="volumes",source="rbd",tier="local"}`:          math.Inf(1),
	`holdfast_verified_age_seconds{component="physical",source="mariadb",tier="local"}`: 1800,
	`holdfast_drilled_age_seconds{component="physical",source="mariadb"}`:               240 * 3600,
	`holdfast_drilled_age_seconds{component="logical",source="mariadb"}`:                math.Inf(1),
	`holdfast_copies{component="volumes",source="rbd"}`:                                 1,
	`holdfast_offsite{component="volumes",source="rbd"}`:                                0,
	`holdfast_promise_broken{promise="copies",source="",tier=""}`:                       1,
	`holdfast_unserved_images`:                                                          1,
	`holdfast_kit_confirmed`:                                                            1,
	`holdfast_runs_total{job="database",kind="unreachable",step="replicate",tier="s3"}`: 1,
	`holdfast_run_status{job="database",step="replicate",tier="s3"}`:                    0,
	`holdfast_run_duration_seconds{job="database",step="backup",tier=""}`:               60,
	`holdfast_read_bytes_total{job="database",step="backup",tier=""}`:                   1000,
	`holdfast_replicated_bytes_total{tier="s3"}`:                                        70,
	`holdfast_tier_errors_total{kind="damage",tier="s3"}`:                               1,
	`holdfast_damage_found_total{tier="s3"}`:                                            1,
	`holdfast_healed_total{tier="s3"}`:                                                  1,
	`holdfast_queue_length`:                                                             2,
	`holdfast_next_run_timestamp_seconds{job="database"}`:                               float64(t0.Add(time.Hour).Unix()),
	`holdfast_notify_failing_seconds{way="mail"}`:                                       3600,
	`holdfast_notify_failing_seconds{way="webhook"}`:                                    0,
	`holdfast_notify_delivered_total{way="mail"}`:                                       3,
	`holdfast_time_seconds`:                                                             float64(t0.Unix()),
}

func TestSeries(t *testing.T) {
	got := scrape(t, known(t, false).Handler())
	for name, want := range wanted {
		var value float64
		if _, err := fmt.Sscan(got[name], &value); err != nil || value != want {
			t.Errorf("%s: %q, want %v", name, got[name], want)
		}
	}
	for name := range got {
		if strings.Contains(name, "nowhere") || strings.Contains(name, "volumes/") || strings.HasPrefix(name, `backup_last_success_timestamp{source="rbd"`) || strings.Contains(name, "a@b") {
			t.Errorf("there should be no %s", name)
		}
	}
	if got := scrape(t, known(t, true).Handler()); got[`holdfast_good_age_seconds{component="volumes/a",source="rbd",tier="local"}`] != "3600" {
		t.Error("no series of an image that was asked for")
	}
}

// TestHistorySurvives a restart, and is shared by processes.
func TestHistorySurvives(t *testing.T) {
	m := known(t, false)
	other := New(Options{State: m.opts.State, Now: time.Now})
	m.Result(results()[0])
	other.Result(results()[0])
	got := scrape(t, New(Options{State: m.opts.State, Now: time.Now}).Handler())
	if n := got[`holdfast_runs_total{job="database",kind="done",step="backup",tier=""}`]; n != "3" {
		t.Errorf("%s backups, want 3", n)
	}
	if got[`backup_last_status{source="mariadb"}`] != "1" {
		t.Error("the last backup's status is forgotten")
	}
}

// TestPartialBackup: a backup of everything that lacks something of one source is no failure of the others.
func TestPartialBackup(t *testing.T) {
	m := known(t, false)
	partial := job.Result{Job: "cloud", Args: []string{"backup"}, Exit: 4, Kind: "partial", Whole: []string{"kolla", "mariadb"}, Finished: t0.Add(-time.Minute)}
	m.Result(partial)
	for source, want := range map[string]string{"mariadb": "1", "rbd": "0"} {
		if got := scrape(t, m.Handler())[`backup_last_status{source="`+source+`"}`]; got != want {
			t.Errorf("%s has the status %s, want %s", source, got, want)
		}
	}
	partial.Whole, partial.Finished = nil, t0
	m.Result(partial)
	if got := scrape(t, m.Handler())[`backup_last_status{source="mariadb"}`]; got != "0" {
		t.Errorf("mariadb has the status %s after it was partial too", got)
	}
}

// TestBackupOfAPart: it says nothing good of its source, and what a job failed to do of a part is over once it is done.
func TestBackupOfAPart(t *testing.T) {
	m := known(t, false)
	at := t0
	for _, k := range []struct{ job, args, kind, want string }{
		{"database", "backup mariadb", "failed", "0"},
		{"", "backup mariadb --only */physical", "", "0"},
		{"database", "backup mariadb", "", "1"},
		{"", "backup mariadb --only */physical", "failed", "1"}, // told on the terminal
		{"often", "backup mariadb --only */physical", "failed", "0"},
		{"other", "backup mariadb --only */logical", "", "0"},
		{"often", "backup mariadb --only */physical", "", "1"},
		{"often", "backup mariadb --only */physical", "failed", "0"},
		{"other", "backup mariadb --only */logical", "failed", "0"},
		{"often", "backup mariadb --only */physical", "", "0"}, // the other one still fails
		{"other", "backup mariadb --only */logical", "", "1"},
	} {
		at = at.Add(time.Minute)
		r := job.Result{Job: k.job, Args: strings.Fields(k.args), Sources: []string{"mariadb"}, Kind: k.kind, Finished: at}
		if k.kind != "" {
			r.Exit = 1
		}
		m.Result(r)
		if got := scrape(t, m.Handler())[`backup_last_status{source="mariadb"}`]; got != k.want {
			t.Errorf("%s of job %q: mariadb has the status %s, want %s", k.args, k.job, got, k.want)
		}
	}
}

// TestHistoryThatCannotBeWritten is known meanwhile, and written when it can be.
func TestHistoryThatCannotBeWritten(t *testing.T) {
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "metrics"), []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := New(Options{State: state, Now: time.Now})
	const name = `holdfast_runs_total{job="database",kind="done",step="backup",tier=""}`
	for range 2 {
		m.Result(results()[0])
	}
	if n := scrape(t, m.Handler())[name]; n != "2" {
		t.Errorf("%s meanwhile, want 2", n)
	}
	if err := os.Remove(filepath.Join(state, "metrics")); err != nil {
		t.Fatal(err)
	}
	m.Result(results()[0])
	if n := scrape(t, New(Options{State: state, Now: time.Now}).Handler())[name]; n != "3" {
		t.Errorf("%s written, want 3", n)
	}
}

// TestTextfile: whole, readable by all, and without what holds only while it is asked for.
func TestTextfile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "holdfast.prom")
	if err := known(t, false).WriteTextfile(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	got := series(string(text))
	if got[`holdfast_copies{component="physical",source="mariadb"}`] != "3" || got["holdfast_time_seconds"] != "" || strings.Contains(string(text), "go_goroutines") {
		t.Errorf("got %s", text)
	}
}

// TestServe over a real connection, until it is told to stop.
func TestServe(t *testing.T) {
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the same address twice: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, known(t, false).Handler()) }()
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": "holdfast_build_info", "/": "404"} {
		answer, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %.200s, %v", path, text, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestClockThatIsSet counts, and drift does not.
func TestClockThatIsSet(t *testing.T) {
	m := New(Options{Now: time.Now})
	now := time.Now()
	if n := m.jumped(now); n != 0 {
		t.Errorf("%v jumps at rest", n)
	}
	m.wall = m.wall.Add(time.Hour) // as if it stood there when it was last looked at
	for range 3 {
		if n := m.jumped(now); n != 1 {
			t.Errorf("%v jumps, want 1", n)
		}
	}
}

// many is an overview with ten thousand images in three tiers.
func many() coverage.Overview {
	o := overview()
	x := o.Components[2]
	for i := range 10000 {
		x.Component = fmt.Sprintf("%s/volume-%05d", []string{"volumes", "images", "vms"}[i%3], i)
		o.Components = append(o.Components, x)
	}
	o.Points = 10000
	return o
}

// TestScrapeIsQuick: with ten thousand points and images, the best of some scrapes takes no 50 ms, and the series do not grow.
func TestScrapeIsQuick(t *testing.T) {
	m := known(t, false)
	small := len(scrape(t, m.Handler()))
	m.Overview(many())
	h, best, n := m.Handler(), time.Hour, 0
	for range 10 {
		began := time.Now()
		n = len(scrape(t, h))
		best = min(best, time.Since(began))
	}
	t.Logf("%d series in %s", n, best)
	if best > 50*time.Millisecond || n > small+40 {
		t.Errorf("%d series, %d before, in %s", n, small, best)
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, perImage := range []bool{false, true} {
		b.Run(fmt.Sprintf("per_image=%v", perImage), func(b *testing.B) {
			m := New(Options{PerImage: perImage, Now: time.Now})
			m.Overview(many())
			h := m.Handler()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			}
		})
	}
}

// names are the families that metrics give which were told everything, by those that are declared.
func TestEveryFamilyIsGiven(t *testing.T) {
	all, err := known(t, false).full.Gather()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]*dto.MetricFamily{}
	for _, f := range all {
		given[f.GetName()] = f
	}
	for _, f := range families {
		g := given[f.name]
		if g == nil {
			t.Errorf("%s is declared and never given", f.name)
			continue
		}
		var labels []string
		for _, l := range g.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if !slices.Equal(labels, slices.Sorted(slices.Values(f.labels))) || strings.HasSuffix(f.name, "_total") != (g.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s: labels %v, type %v", f.name, labels, g.GetType())
		}
		delete(given, f.name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is given and not declared", name)
		}
	}
}

// TestRunIsAsGoodAsItsWorst: the second drill of a run does not make the first one good.
func TestRunIsAsGoodAsItsWorst(t *testing.T) {
	m := New(Options{Cloud: "prod", Now: func() time.Time { return t0 }})
	for _, x := range []struct {
		run, from string
		exit      int
		want      string
	}{{"r1", "s3", 7, "0"}, {"r1", "local", 0, "0"}, {"r2", "s3", 0, "1"}, {"r2", "local", 0, "1"}} {
		m.Result(job.Result{Run: x.run, Job: "drill", Args: []string{"drill", "mariadb", "--from", x.from}, Exit: x.exit, Started: t0, Finished: t0})
		if got := scrape(t, m.Handler())[`holdfast_run_status{job="drill",step="drill",tier=""}`]; got != x.want {
			t.Errorf("after %s from %s: %s, want %s", x.run, x.from, got, x.want)
		}
	}
}

// TestOutboxThatCannotBeWritten is seen as a way that fails since then.
func TestOutboxThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notify"), nil, 0o600); err != nil { // where its directory should be
		t.Fatal(err)
	}
	now := t0
	cfg := &config.Config{Cloud: "prod", State: dir, Notify: config.Notify{On: config.News, Mail: &config.Mail{Server: "127.0.0.1", Port: 1, From: "a@b", To: []string{"c@d"}}}}
	teller := notify.New(cfg, func() time.Time { return now }, func(string) {})
	teller.Result(job.Result{Job: "database", Args: []string{"backup", "mariadb"}, Exit: 1, Kind: "failed", Started: t0, Finished: t0})
	now = now.Add(time.Hour)
	m := New(Options{Cloud: "prod", Now: func() time.Time { return now }, Notify: teller.Status})
	if got := scrape(t, m.Handler())[`holdfast_notify_failing_seconds{way="state"}`]; got != "3600" {
		t.Errorf("failing for %s s", got)
	}
}
