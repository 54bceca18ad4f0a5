package daemon_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/serve"
)

// TestJob does a job now, and looks at what everybody is told of it.
func TestJob(t *testing.T) {
	s := newSite(t)
	s.configure(usual + "  audit: {when: monthly last 12:00, do: [verify --all --full]}\n")
	d := s.starts()
	run := s.asks("config")
	s.idle()
	s.whole(run)
	if s.points("local") != 1 || s.points("disk") != 1 {
		t.Errorf("%d and %d points", s.points("local"), s.points("disk"))
	}
	first := s.results()[0]
	if first.Job != "config" || first.Point == "" || first.Read == 0 || first.New == 0 || first.Sources[0] != "kolla" {
		t.Errorf("%+v", first)
	}
	if out := s.does(0, "queue"); !strings.Contains(out, "nothing runs") || !strings.Contains(out, "daily at 03:00") {
		t.Error(out)
	}
	if out := s.does(0, "queue", "results"); strings.Count(out, run) != 6 {
		t.Error(out)
	}
	s.await("the overview is known", func() bool {
		o, err := s.client().Overview(t.Context())
		return err == nil && o != nil && o.Points == 1
	})
	if out := s.does(1, "status"); !strings.Contains(out, "config  daily at 03:00") {
		t.Error(out)
	}
	st, err := os.Stat(s.socket())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket %v %v", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(s.socket())); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its directory %v %v", st.Mode(), err)
	}
	s.asks("audit")
	s.idle()
	if all := s.results(); all[len(all)-1].Step() != "verify" || all[len(all)-1].Read == 0 {
		t.Errorf("%+v", all[len(all)-1])
	}
	s.does(0, "verify", "--heal", "--all", "--full")
	if all := s.results(); all[len(all)-1].Read == 0 {
		t.Errorf("%+v", all[len(all)-1])
	}
	d.kills(syscall.SIGTERM)
	if d.err != nil || !strings.Contains(s.log.String(), "the daemon has ended") {
		t.Errorf("%v\n%s", d.err, s.log)
	}
	if _, err := os.Stat(s.socket()); err == nil {
		t.Error("the socket is left behind")
	}
	if out := s.does(1, "queue"); !strings.Contains(out, "no daemon listens") {
		t.Error(out)
	}
}

// TestKillInEveryState kills the daemon at each step of a run, without warning: the next one says that it was cut off and does the
// rest, and no step of the one before is left.
func TestKillInEveryState(t *testing.T) {
	s := newSite(t)
	d := s.starts()
	for _, odd := range []int{0, 1} {
		run := s.asks("config")
		for n, step := range chain {
			s.await("step "+step+" runs", func() bool {
				q := s.queue()
				return len(q.Runs) == 0 || q.Runs[0].State == serve.Running && q.Runs[0].Step > n
			})
			if n%2 == odd { // no run is gone on with more often
				d.kills(syscall.SIGKILL)
				d = s.starts()
			}
		}
		s.idle()
		s.whole(run)
	}
	var cut []string
	for _, r := range s.results() {
		if !r.Good() {
			cut = append(cut, r.Kind+" "+r.Step())
		}
	}
	if len(cut) == 0 || slices.ContainsFunc(cut, func(c string) bool { return !strings.HasPrefix(c, "interrupted ") }) {
		t.Errorf("%q was cut", cut)
	}
	s.does(0, "verify", "--all")
	s.does(0, "verify", "--all", "--tier", "disk")
}

func TestTwoDaemons(t *testing.T) {
	s := newSite(t)
	s.starts()
	if out := s.does(6, "serve"); !strings.Contains(out, "a daemon works with") {
		t.Error(out)
	}
	s.queue() // the first still answers
}

func TestBrokenConfig(t *testing.T) {
	s := newSite(t)
	d := s.starts()
	s.configure("schedule: {config: someday}\n")
	d.Process.Signal(syscall.SIGHUP)
	s.await("the trouble is told", func() bool { return len(s.queueOf(d)) == 1 })
	if text := s.queueOf(d)[0]; !strings.Contains(text, "holdfast.yml:7:20") || !strings.Contains(text, "the one before holds on") {
		t.Errorf("%q", text)
	}
	run := s.asks("config") // its steps have the one before, too
	s.idle()
	s.whole(run)
	s.configure("schedule: {zone: UTC, config: every 4h}\n")
	d.Process.Signal(syscall.SIGHUP)
	s.await("the trouble is over", func() bool { return len(s.queueOf(d)) == 0 })
	if q := s.queue(); len(q.Next) != 1 || q.Next[0].When != "every 4h" {
		t.Errorf("%+v", q.Next)
	}
}

// queueOf are the troubles, asked at the socket: a command would read the broken file.
func (s *site) queueOf(*daemon) []string { return s.queue().Troubles }

// TestTurns holds the turn with a command that is killed, one that is refused, and one that an operator cancels.
func TestTurns(t *testing.T) {
	s := newSite(t)
	s.starts()
	held := s.slow()
	if out := s.does(6, "backup", "kolla", "--no-wait"); !strings.Contains(out, "its turn is behind holdfast backup kolla") {
		t.Error(out)
	}
	run := s.asks("config")
	s.await("the job waits", func() bool { q := s.queue(); return len(q.Runs) == 2 && q.Runs[1].Behind != "" })
	held.Process.Kill()
	held.Wait()
	s.fast()
	s.idle()
	s.whole(run)
	if first := s.results()[0]; first.Job != "" || first.Kind != "interrupted" || !strings.Contains(first.Error, "without saying") {
		t.Errorf("%+v", first)
	}
	held = s.slow()
	s.does(0, "queue", "cancel", s.queue().Runs[0].Run)
	if got := s.exit(held.Wait()); got != 130 {
		t.Errorf("the cancelled command ended with %d", got)
	}
	s.fast()
	s.does(0, "backup")
	if all := s.results(); all[len(all)-1].Point == "" || all[len(all)-2].Kind != "interrupted" {
		t.Errorf("%+v", all[len(all)-2:])
	}
}

// TestStoppedByHand stops a job in the foreground: the daemon hears that somebody did, and has nothing to try again.
func TestStoppedByHand(t *testing.T) {
	s := newSite(t)
	s.starts()
	s.await("the first look is over", func() bool { // it reads the inventory too
		o, err := s.client().Overview(t.Context())
		return err == nil && o != nil
	})
	run := s.slowly("run", "config")
	if err := run.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := s.exit(run.Wait()); got != 130 {
		t.Errorf("it ended with %d", got)
	}
	s.fast()
	s.idle()
	if all := s.results(); len(all) != 1 || all[0].Job != "config" || all[0].Kind != "interrupted" || len(s.queue().Tries) > 0 {
		t.Errorf("told as %+v", all)
	}
}

// TestFailedTier has the second tier gone for a while.
func TestFailedTier(t *testing.T) {
	s := newSite(t)
	s.starts()
	if err := os.Rename(filepath.Join(s.dir, "disk"), filepath.Join(s.dir, "away")); err != nil {
		t.Fatal(err)
	}
	s.asks("config")
	s.await("it is tried again", func() bool {
		return slices.ContainsFunc(s.queue().Tries, func(v serve.TryView) bool { return v.Try >= 2 && v.Args[0] == "replicate" })
	})
	if s.points("local") != 1 {
		t.Error("the local copy is gone")
	}
	if err := os.Rename(filepath.Join(s.dir, "away"), filepath.Join(s.dir, "disk")); err != nil {
		t.Fatal(err)
	}
	s.await("the tier has caught up", func() bool { q := s.queue(); return len(q.Tries) == 0 && len(q.Runs) == 0 })
	all := s.results()
	if last := all[len(all)-1]; s.points("disk") != 1 || last.Step() != "prune" || last.Tier != "disk" || last.Try < 2 {
		t.Errorf("%+v", last)
	}
}

// TestFullState has no room for the state: the daemon does its work, and says so.
func TestFullState(t *testing.T) {
	s := newSite(t)
	state := filepath.Join(s.dir, "state/serve")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	d := s.starts()
	fill(t, filepath.Join(state, "ballast"))
	run := s.asks("config")
	s.await("the daemon says that it cannot write", func() bool {
		return slices.ContainsFunc(s.queue().Troubles, func(text string) bool { return strings.Contains(text, "no space left") })
	})
	s.idle()
	s.whole(run)
	if err := os.Remove(filepath.Join(state, "ballast")); err != nil {
		t.Fatal(err)
	}
	s.asks("config")
	s.idle()
	s.await("the trouble is over", func() bool { return len(s.queue().Troubles) == 0 })
	d.kills(syscall.SIGTERM)
	s.starts()
	if all := s.results(); len(all) < 12 {
		t.Errorf("only %d results are remembered", len(all))
	}
}

// fill takes all the room that there is.
func fill(t *testing.T, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
}

// TestSchedule has the daemon find by itself that something is due, and make up for what was missed while it was dead.
func TestSchedule(t *testing.T) {
	s := newSite(t)
	s.configure("schedule: {zone: UTC, config: {when: every 1m, then: false}}\n")
	d := s.starts()
	s.await("the minute comes", func() bool { all := s.results(); return len(all) > 0 && all[0].Good() })
	first := s.results()[0]
	if first.Due.Second() != 0 || first.Started.Sub(first.Due) > 30*time.Second {
		t.Errorf("due %s, started %s", first.Due, first.Started)
	}
	d.kills(syscall.SIGKILL)
	s.does(0, "run", "config")
	if s.points("local") < 2 {
		t.Error("run took no point")
	}
}

// TestDrillsAreSwept: what a drill restored that was killed is removed when the daemon starts, and after a drill of the schedule that failed.
func TestDrillsAreSwept(t *testing.T) {
	s := newSite(t)
	s.configure(usual + "  rehearsal: {when: monthly 02:00, do: [drill mariadb]}\n")
	s.write("state/drills/first/physical/data/ibdata1", "plain")
	swept := func() bool {
		left, err := os.ReadDir(filepath.Join(s.dir, "state/drills"))
		return err == nil && len(left) == 0
	}
	s.starts()
	s.await("what was left before it started is removed", swept)
	s.write("state/drills/second/physical/data/ibdata1", "plain")
	s.asks("rehearsal")
	s.await("what was left before the drill failed is removed", swept)
}
