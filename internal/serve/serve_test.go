package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/problem"
)

const twoTiers = `cloud: c
state: STATE
tiers:
  - {name: local, url: "file:///v"}
  - {name: disk, url: "file:///w", keep: 30d, retry: {after: 1h, most: 4h}}
schedule: {zone: UTC, cloud: off, drill: off}
kolla: {inventory: hosts}
mariadb: {user: b, password: {file: p}}
`

// world is a daemon in virtual time whose steps do what the test says.
type world struct {
	t   *testing.T
	dir string
	cfg string

	mu       sync.Mutex
	steps    []string // as they began
	running  map[string]int
	skew     time.Duration // that the clock was set ahead by
	does     func(s job.Step) (exit int, kind string)
	takes    time.Duration
	overview *coverage.Overview
	said     []string
	results  []job.Result
	ended    []string // runs
	queues   int
	looks    int
	heard    int
	last     coverage.Overview // that was heard
	peek     func()            // when something was written
}

func newWorld(t *testing.T, cfg string) *world {
	dir := t.TempDir()
	return &world{
		t: t, dir: filepath.Join(dir, "serve"), cfg: strings.ReplaceAll(cfg, "STATE", dir), running: map[string]int{}, takes: time.Minute,
		peek: func() {}, does: func(job.Step) (int, string) { return 0, "" }, overview: &coverage.Overview{},
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

func (w *world) set(clock time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += clock
}

func (w *world) load() (Setup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := config.Parse("/etc/hf/holdfast.yml", []byte(w.cfg))
	return Setup{Config: c, Listeners: []Listener{ears{w}}, Taken: func() {}}, err
}

func (w *world) say(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

func (w *world) Step(ctx context.Context, r Run, s job.Step, watch job.Watch) job.Result {
	w.mu.Lock()
	w.steps = append(w.steps, fmt.Sprintf("%s %s %s", time.Now().Add(w.skew).UTC().Format("02 15:04"), r.Job, strings.Join(s.Args, " ")))
	for _, u := range s.Uses {
		if w.running[u]++; w.running[u] > 1 {
			w.t.Errorf("%s is used twice at one time", u)
		}
	}
	takes := w.takes
	w.mu.Unlock()
	w.peek()
	watch.Began(job.Process{PID: 1 << 30, Start: "1"})
	w.peek()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range s.Uses {
		w.running[u]--
	}
	res := job.Result{Args: s.Args, Sources: s.Sources()}
	if t := s.Tiers(); len(t) == 1 {
		res.Tier = t[0]
	}
	if ctx.Err() != nil {
		res.Exit, res.Kind = 130, "interrupted"
		return res
	}
	res.Exit, res.Kind = w.does(s)
	return res
}

func (w *world) Overview(context.Context) (*coverage.Overview, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if w.overview == nil {
		return nil, errors.New("no vault opens")
	}
	return w.overview, nil
}

// ears hear what the daemon tells.
type ears struct{ w *world }

func (e ears) Result(r job.Result) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.results = append(e.w.results, r)
}

func (e ears) Begins(job, run string) {}

func (e ears) Ends(_, run string) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.ended = append(e.w.ended, run)
}

func (e ears) Queue(Queue) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.queues++
}

func (e ears) Overview(o coverage.Overview) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.heard++
	e.w.last = o
}

// runs works as a daemon while do goes on, then ends it politely.
func (w *world) runs(do func(d *Daemon)) {
	w.t.Helper()
	d, err := New(w.dir, Options{Load: w.load, Runner: w, Now: w.now, Say: w.say, Notify: func(string) {}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Work(ctx) }()
	synctest.Wait()
	do(d)
	cancel()
	<-ended
}

// did are the steps since the last call.
func (w *world) did() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.steps
	w.steps = nil
	return all
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.did()); diff != "" {
		w.t.Errorf("steps (-want +got):\n%s\nsaid %q", diff, w.said)
	}
}

// chain is what a job does at two tiers, from a time on, a minute each.
func chain(day, hour int, name, source string) (all []string) {
	for i, step := range []string{
		"backup " + source, "verify latest:" + source + " --tier local", "replicate disk", "verify latest:" + source + " --tier disk", "prune local --yes", "prune disk --yes",
	} {
		all = append(all, fmt.Sprintf("%02d %02d:%02d %s %s", day, hour, i, name, step))
	}
	return all
}

func TestTheDefaultDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoTiers)
		w.runs(func(*Daemon) { time.Sleep(26 * time.Hour) })
		w.expect(slices.Concat(chain(1, 2, "database", "mariadb"), chain(1, 3, "config", "kolla"))...)
		if len(w.results) != 12 || w.results[0].Job != "database" || w.results[0].Run == "" || w.results[0].Run != w.results[5].Run || w.results[0].Due.Hour() != 2 || w.results[0].Try != 1 {
			t.Errorf("%+v", w.results)
		}
		if w.looks < 50 || w.heard < 50 || w.queues == 0 {
			t.Errorf("%d looks, %d heard, %d queues", w.looks, w.heard, w.queues)
		}
	})
}

// TestOneAtATime queues two jobs at one minute that share tiers: the runner of the test finds out what is used twice.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: daily 02:00, more: {when: daily 02:00, do: [mariadb], then: false}", 1))
		w.takes = 10 * time.Minute
		w.runs(func(*Daemon) { time.Sleep(24 * time.Hour) })
		if got := w.did(); len(got) != 13 || !slices.Contains(got[:2], "01 02:00 database backup mariadb") || !slices.Contains(got[:2], "01 02:00 config backup kolla") || !slices.Contains(got, "01 02:10 more backup mariadb") {
			t.Errorf("%q", got)
		}
	})
}

func TestDowntimeIsCaughtUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: {when: daily 03:00, catch_up: false}", 1))
		w.runs(func(*Daemon) { time.Sleep(time.Hour) })
		time.Sleep(5*24*time.Hour + 11*time.Hour)
		w.runs(func(*Daemon) { time.Sleep(12 * time.Hour) })
		w.expect(chain(6, 12, "database", "mariadb")...)
		if w.results[0].Due.Format("02 15:04") != "06 02:00" {
			t.Errorf("due %s", w.results[0].Due)
		}
	})
}

// TestStateIsLost makes the last times of jobs anew from the points: of the database's alone one was missed.
func TestStateIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoTiers)
		time.Sleep(10*24*time.Hour + 12*time.Hour)
		missed, done := time.Now().Add(-50*time.Hour), time.Now().Add(-8*time.Hour)
		w.overview.Components = []coverage.Component{{Source: "mariadb", Component: "shard0/physical", At: &missed}, {Source: "kolla", Component: "ctl1", At: &done}}
		if err := os.MkdirAll(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, "state.json"), []byte("{half"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.runs(func(*Daemon) { time.Sleep(2 * time.Hour) })
		w.expect(chain(11, 12, "database", "mariadb")...)
		if !strings.Contains(strings.Join(w.said, "\n"), "state.json.unreadable") {
			t.Errorf("said %q", w.said)
		}
	})
}

// TestFailedTierIsTriedAgain loses the second tier for five hours: the local copy stays, nothing there is verified or removed, the other
// steps are done, and it is tried after one, two and four hours.
func TestFailedTierIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1))
		start := time.Now()
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "replicate" && time.Since(start) < 7*time.Hour {
				return 5, "unreachable"
			}
			return 0, ""
		}
		w.runs(func(d *Daemon) {
			time.Sleep(2*time.Hour + 30*time.Minute)
			if q := viewOf(d); len(q.Tries) != 1 || q.Tries[0].Try != 2 || q.Tries[0].At.Format("15:04") != "03:03" || q.Next[0].Last.Kind != "unreachable" {
				t.Errorf("%+v", q)
			}
		})
		w.runs(func(*Daemon) { time.Sleep(20 * time.Hour) }) // over a restart
		w.expect(
			"01 02:00 database backup mariadb", "01 02:01 database verify latest:mariadb --tier local", "01 02:02 database replicate disk", "01 02:03 database prune local --yes",
			"01 03:03 database replicate disk", "01 05:04 database replicate disk", "01 09:05 database replicate disk",
			"01 09:06 database verify latest:mariadb --tier disk", "01 09:07 database prune disk --yes",
		)
		if again := w.results[2].Again; again.Format("15:04") != "03:03" || w.results[2].Kind != "unreachable" || w.results[4].Try != 2 {
			t.Errorf("%+v", w.results)
		}
	})
}

func TestFailedBackupKeepsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: {retry: {after: 30m}}", 1))
		fails := 1
		w.does = func(s job.Step) (int, string) {
			if fails--; s.Verb() == "backup" && fails >= 0 {
				return 1, "failed"
			}
			return 0, ""
		}
		w.runs(func(*Daemon) { time.Sleep(12 * time.Hour) })
		got := w.did()
		want := append([]string{"01 02:00 database backup mariadb", "01 02:01 database replicate disk"}, "01 02:31 database backup mariadb")
		if len(got) != 8 || !slices.Equal(got[:3], want) {
			t.Errorf("%q", got)
		}
	})
}

// TestWindow: what is due outside its window waits for it, also over a restart, and what is due inside begins at once.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off",
			`cloud: off, config: {when: every 12h, window: "22:00-06:00", then: false}, database: off`, 1))
		w.runs(func(*Daemon) {
			time.Sleep(18 * time.Hour)
			w.expect()
		})
		w.runs(func(*Daemon) { time.Sleep(18 * time.Hour) })
		w.expect("01 22:00 config backup kolla", "02 00:00 config backup kolla")
		if w.results[0].Due.Hour() != 12 {
			t.Errorf("due %s", w.results[0].Due)
		}
	})
}

func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: {when: daily 03:00, then: false}, database: off", 1))
		w.runs(func(*Daemon) {
			time.Sleep(3*time.Hour + 30*time.Minute)
			w.expect("01 03:00 config backup kolla")
			w.set(-time.Hour)
			time.Sleep(2 * time.Hour)
			w.expect() // not again
			w.set(10 * 24 * time.Hour)
			time.Sleep(time.Hour)
			w.expect("11 04:30 config backup kolla") // the daemon looks at the clock
			w.set(-10 * 24 * time.Hour)
			time.Sleep(24 * time.Hour)
			w.expect("02 03:00 config backup kolla")
			w.set(365 * 24 * time.Hour)
			time.Sleep(time.Minute)
			w.set(-365 * 24 * time.Hour)
			time.Sleep(24 * time.Hour)
			if got := w.did(); len(got) != 2 || got[1] != "03 03:00 config backup kolla" {
				t.Errorf("%q", got)
			}
		})
	})
}

func TestRunNowAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoTiers)
		w.runs(func(d *Daemon) {
			if _, err := d.RunNow("databse"); problem.KindOf(err) != problem.Usage || !strings.Contains(problem.HintOf(err), "config, database") {
				t.Errorf("%v", err)
			}
			id, err := d.RunNow("database")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.RunNow("database"); problem.KindOf(err) != problem.Busy {
				t.Errorf("twice: %v", err)
			}
			time.Sleep(90 * time.Second)
			if err := d.Cancel(id[:4]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if q := viewOf(d); len(q.Runs) != 0 {
				t.Errorf("%+v", q.Runs)
			}
			if err := d.Cancel(id); problem.KindOf(err) != problem.NotFound {
				t.Errorf("%v", err)
			}
			time.Sleep(time.Minute)
		})
		w.expect("01 00:00 database backup mariadb", "01 00:01 database verify latest:mariadb --tier local")
		if len(w.results) != 2 || w.results[1].Kind != "interrupted" || !w.results[1].Again.IsZero() {
			t.Errorf("%+v", w.results)
		}
	})
}

func viewOf(d *Daemon) Queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.view()
}
