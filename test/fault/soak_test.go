package fault

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// phase is a part of a command: from the moment that begins fits an event until the next phase, or the end.
type phase struct {
	name   string
	begins func(event.Event) bool
}

// backupPhases are those of a backup of mariadb, in their order.
func backupPhases() []phase {
	captured := map[string]bool{}
	return []phase{
		{"plan", func(e event.Event) bool { return e.Kind == event.RunStarted }},
		{"stream", func(e event.Event) bool { return e.Kind == event.Started }},
		{"seal", func(e event.Event) bool {
			if e.Kind == event.Finished {
				captured[e.Component] = true
			}
			return captured["shard0/physical"] && captured["shard0/logical"]
		}},
	}
}

// restorePhases are those of a restore to a directory, in their order.
func restorePhases() []phase {
	step := func(name string) phase {
		return phase{name, func(e event.Event) bool { return e.Kind == event.Started && strings.HasPrefix(e.Component, name) }}
	}
	return []phase{step("write"), step("prepare")}
}

// lengths returns how long each phase of a command took that ran to its end.
func lengths(events []event.Event, phases []phase) []time.Duration {
	var took []time.Duration
	end := events[len(events)-1].Time
	for _, p := range slices.Backward(phases) {
		began := events[slices.IndexFunc(events, p.begins)].Time
		took = append(took, end.Sub(began))
		end = began
	}
	slices.Reverse(took)
	return took
}

// strike kills a command some time into its phase i. It returns the processes that the command had started, and false
// when the phase was over by then.
func strike(t *testing.T, run *journey.Run, phases []phase, i int, after time.Duration) ([]journey.Process, bool) {
	t.Helper()
	if _, ok := run.Await(phases[i].begins); !ok {
		t.Fatalf("it ended before its phase %q: %+v", phases[i].name, run.Wait())
	}
	select {
	case <-time.After(after):
	case <-run.Ended():
	}
	children, killed := run.Kill()
	over := !killed || i+1 < len(phases) && slices.ContainsFunc(run.Events(), phases[i+1].begins)
	t.Logf("killed %v into the phase: %v, the phase was over: %v", after.Round(time.Millisecond), killed, over)
	return children, !over
}

// moments is how many kills each phase gets: five, or what HOLDFAST_SOAK says.
func moments() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 5
}

// perMoment calls kill with seeded random times within a phase of that length, until as many as there are moments have
// met the phase.
func perMoment(t *testing.T, dice *rand.Rand, length time.Duration, kill func(after time.Duration) bool) {
	t.Helper()
	for met, tries := 0, 0; met < moments(); tries++ {
		if tries > 4*moments() {
			t.Fatalf("only %d of %d kills met the phase", met, moments())
		}
		if kill(time.Duration(dice.Float64() * float64(length))) {
			met++
		}
	}
}

// TestSoakKilledBackup kills holdfast at seeded random moments of every phase. No run leaves half a point, a process or
// a node out of step; each is told by the run after it; and what was there before stays.
func TestSoakKilledBackup(t *testing.T) {
	s := shared(t)
	s = at(t, s.lab, s.site.Copy(t, s.lab))
	k := &killer{scene: s}
	took := k.measure()
	dice := rand.New(rand.NewPCG(7, 11))
	for i, p := range backupPhases() {
		t.Run(p.name, func(t *testing.T) {
			k.scene.t = t
			perMoment(t, dice, took[i], func(after time.Duration) bool { return k.strike(t, i, after) })
			k.kept(k.before)
		})
	}
	p := s.Backup("mariadb")
	if k.pending != "" && !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, k.pending) }) {
		t.Errorf("the notes do not tell that %s was killed: %q", k.pending, p.Notes)
	}
	s.Run("verify", "--full", "--all")
}

// killer runs backups and kills them.
type killer struct {
	*scene
	before  []string // points that must stay
	pending string   // the killed run that the next one must tell of
}

// measure takes a point and returns how long each phase took.
func (k *killer) measure() []time.Duration {
	run := k.Start("backup", "mariadb")
	if r := run.Wait(); r.Code != 0 {
		k.t.Fatalf("the run to measure ended with %d: %s", r.Code, r.Stderr)
	}
	k.before = k.Points()
	return lengths(run.Events(), backupPhases())
}

// strike kills a run some time into a phase, and looks at what is left. It reports false when the phase was over by
// then.
func (k *killer) strike(t *testing.T, i int, after time.Duration) bool {
	t.Helper()
	run := k.Start("backup", "mariadb")
	children, met := strike(t, run, backupPhases(), i, after)
	journey.Quiet(t, k.lab, children...)
	if now := k.journal(); now != k.pending { // it came as far as to write its own name there
		k.tells(t, run.Events())
		k.pending = now
	}
	k.whole(t)
	return met
}

// tells demands that a run told of the one that was killed before it.
func (k *killer) tells(t *testing.T, events []event.Event) {
	t.Helper()
	told := func(e event.Event) bool {
		return e.Kind == event.Note && strings.Contains(e.Text, k.pending) && strings.Contains(e.Text, "was killed")
	}
	if k.pending != "" && !slices.ContainsFunc(events, told) {
		t.Errorf("the run does not tell that %s was killed: %+v", k.pending, events)
	}
}

// journal is the run that the state directory names as running; it was killed.
func (k *killer) journal() string {
	data, err := os.ReadFile(filepath.Join(k.site.State, "runs", "mariadb.running"))
	if err != nil {
		return ""
	}
	var entry struct{ Point string }
	if json.Unmarshal(data, &entry) != nil || entry.Point == "" {
		k.t.Errorf("the journal is %q", data)
	}
	return entry.Point
}

// whole demands that every point is complete: a killed run leaves none, or, when it was killed after the seal, a whole
// one.
func (k *killer) whole(t *testing.T) {
	t.Helper()
	var points []point.Point
	if err := json.Unmarshal([]byte(k.Run("points", "--json")), &points); err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		if p.State != point.Complete && !slices.Contains(k.before, p.ID) {
			t.Errorf("the kill left point %s, %s", p.ID, p.State)
		}
	}
	if len(points) < len(k.before) {
		t.Errorf("of the points %v only %d are left", k.before, len(points))
	}
}

// TestSoakKilledRestore kills holdfast at seeded random moments while it writes a data directory and while it prepares
// it. What it leaves is marked, and the next restore does not take it for a good one.
func TestSoakKilledRestore(t *testing.T) {
	s := shared(t)
	before := s.Points()
	args := func(dir string) []string {
		return []string{"restore", "mariadb", "latest:mariadb", "--to", dir, "--yes"}
	}
	run := s.Start(args(filepath.Join(t.TempDir(), "whole"))...)
	if r := run.Wait(); r.Code != 0 {
		t.Fatalf("the restore to measure ended with %d: %s", r.Code, r.Stderr)
	}
	took := lengths(run.Events(), restorePhases())
	dice := rand.New(rand.NewPCG(13, 17))
	for i, p := range restorePhases() {
		t.Run(p.name, func(t *testing.T) {
			s := shared(t)
			dir := filepath.Join(t.TempDir(), "datadir")
			perMoment(t, dice, took[i], func(after time.Duration) bool {
				defer removed(t, dir)
				run := s.Start(args(dir)...)
				children, met := strike(t, run, restorePhases(), i, after)
				journey.Quiet(t, s.lab, children...)
				if met && !prepared(run.Events()) {
					refused(t, s, dir, args(dir))
				}
				return met
			})
			s.Run(args(dir)...)
			if marked(dir) {
				t.Error("a restore that ended well left the mark")
			}
		})
	}
	s.kept(before)
}

// prepared reports whether a restore had done the last of its steps: it takes the mark away right after.
func prepared(events []event.Event) bool {
	return slices.ContainsFunc(events, func(e event.Event) bool {
		return e.Kind == event.Finished && strings.HasPrefix(e.Component, "prepare")
	})
}

// refused demands that a target carries the mark of a restore that did not end, and that the next one does not use it.
func refused(t *testing.T, s *scene, dir string, args []string) {
	t.Helper()
	if !marked(dir) {
		t.Error("the target has no mark")
	}
	said(t, s.Try(args...), 1, dir)
}

func marked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "HOLDFAST-RESTORE-INCOMPLETE"))
	return err == nil
}

func removed(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// TestKilledClusterRestore kills holdfast while it writes and prepares the copy beside the first node's datadir: the
// cluster does not notice, and a second try succeeds.
func TestKilledClusterRestore(t *testing.T) {
	s := shared(t)
	p := s.next() // of the cluster as it is now
	before := s.Points()
	sums := journey.Sums(t, s.lab, "ctl3")
	uuid := s.clusterUUID("ctl1")
	for _, step := range []string{"write", "prepare"} {
		run := s.Start("restore", "mariadb", p.ID, "--cluster", "--yes")
		if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && strings.HasPrefix(e.Component, step) }); !ok {
			t.Fatalf("no step %q: %+v", step, run.Wait())
		}
		children, killed := run.Kill()
		if !killed {
			t.Fatal("the restore had ended before the kill")
		}
		s.kept(before, children...)
		if got := s.clusterUUID("ctl1"); got != uuid {
			t.Errorf("killed during %q, the cluster is %s and was %s", step, got, uuid)
		}
	}
	journey.SameSums(t, sums, journey.Sums(t, s.lab, "ctl3"))
	s.Run("restore", "mariadb", p.ID, "--cluster", "--yes")
	if got := s.clusterUUID("ctl1"); got == uuid {
		t.Error("the second try replaced nothing")
	}
	for _, n := range s.lab.Nodes() {
		journey.SameSums(t, sums, journey.Sums(t, s.lab, n.Host))
	}
	s.kept(before)
	s.next()
}

func (s *scene) clusterUUID(node string) string {
	s.t.Helper()
	out, err := s.lab.SQL(s.t.Context(), node, "SHOW STATUS LIKE 'wsrep_cluster_state_uuid'")
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}
