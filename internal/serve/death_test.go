package serve

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/job"
	"holdfast/internal/problem"
)

func TestStoppedInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1))
		w.runs(func(*Daemon) { time.Sleep(2*time.Hour + 90*time.Second) })
		w.runs(func(*Daemon) { time.Sleep(time.Hour) })
		want := chain(1, 2, "database", "mariadb")
		if got := w.did(); len(got) != 7 || got[1] != want[1] || got[2] != want[1] {
			t.Errorf("%q", got)
		}
		for _, r := range w.results {
			if !r.Good() {
				t.Errorf("told %+v", r)
			}
		}
	})
}

// TestKilledInEveryState takes every state that the daemon ever wrote during a run as what a killed one left behind: each time the
// chain is done to its end, no step that was done is missing, and nothing is done twice that had been written as done.
func TestKilledInEveryState(t *testing.T) {
	var states [][]byte
	cfg := strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		var mu sync.Mutex
		w.peek = func() {
			mu.Lock()
			defer mu.Unlock()
			data, err := os.ReadFile(store{w.dir}.file())
			if err != nil {
				t.Error(err)
			}
			if len(states) == 0 || !slices.Equal(states[len(states)-1], data) {
				states = append(states, data)
			}
		}
		w.runs(func(*Daemon) {
			time.Sleep(2 * time.Hour)
			for range 420 {
				time.Sleep(time.Second)
				synctest.Wait()
				w.peek()
			}
		})
		if w.did(); len(w.results) != 6 {
			t.Fatalf("%+v", w.results)
		}
	})
	if len(states) < 13 {
		t.Fatalf("only %d states", len(states))
	}
	for i, data := range states {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cfg)
			if err := os.MkdirAll(w.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(w.dir, "state.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2*time.Hour + 10*time.Minute)
			w.runs(func(d *Daemon) {
				time.Sleep(time.Hour)
				done := map[string]int{}
				for _, r := range d.results("") {
					if r.Good() {
						done[strings.Join(r.Args, " ")]++
					} else if r.Kind != "interrupted" {
						t.Errorf("state %d: %+v", i, r)
					}
				}
				for _, step := range chain(1, 2, "database", "mariadb") {
					if args := step[len("01 02:00 database "):]; done[args] != 1 {
						t.Errorf("state %d: %s was done %d times\n%s", i, args, done[args], data)
					}
				}
			})
		})
	}
}

// TestKilledAgainAndAgain gives up a run that the daemon never outlives.
func TestKilledAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1))
		var data []byte
		w.runs(func(d *Daemon) {
			time.Sleep(2*time.Hour + 30*time.Second)
			data, _ = os.ReadFile(d.store.file())
		})
		for range 6 {
			if err := os.WriteFile(filepath.Join(w.dir, "state.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			w.runs(func(d *Daemon) { time.Sleep(10 * time.Second); data, _ = os.ReadFile(d.store.file()) })
		}
		if got := w.did(); len(got) != 1+mostCuts {
			t.Errorf("%q", got)
		}
		w.gaveUp("backup mariadb", "the daemon died while it ran, 4 times in this run")
	})
}

// TestKilledWithoutCatchUp: a run that is not gone on with is told as a failure, and not tried again.
func TestKilledWithoutCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: {when: daily 02:00, catch_up: false, retry: {after: 1h}}", 1))
		var data []byte
		w.runs(func(d *Daemon) {
			time.Sleep(2*time.Hour + 30*time.Second)
			data, _ = os.ReadFile(d.store.file())
		})
		if err := os.WriteFile(filepath.Join(w.dir, "state.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		w.did()
		w.runs(func(*Daemon) { time.Sleep(12 * time.Hour) })
		w.expect()
		w.gaveUp("backup mariadb", "the daemon died while it ran")
	})
}

// gaveUp demands that the last that was told is a failure of a step of the job database, after which its run ended.
func (w *world) gaveUp(step, why string) {
	w.t.Helper()
	last := w.results[len(w.results)-1]
	if last.Job != "database" || strings.Join(last.Args, " ") != step || last.Kind != "failed" || last.Error != "given up: "+why || !last.Again.IsZero() {
		w.t.Errorf("told %+v", last)
	}
	if !slices.Contains(w.ended, last.Run) {
		w.t.Errorf("run %s is not told as ended, but %q", last.Run, w.ended)
	}
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: {when: daily 03:00, then: false}, database: off", 1))
		good := w.cfg
		w.runs(func(d *Daemon) {
			w.cfg = "cloud: [broken"
			d.Reload()
			if q := viewOf(d); len(q.Troubles) != 1 || !strings.Contains(q.Troubles[0], "the one before holds on") {
				t.Errorf("%q", q.Troubles)
			}
			time.Sleep(4 * time.Hour)
			w.expect("01 03:00 config backup kolla")
			w.cfg = strings.Replace(good, "daily 03:00", "every 2h", 1)
			d.Reload()
			if q := viewOf(d); len(q.Troubles) != 0 {
				t.Errorf("%q", q.Troubles)
			}
			time.Sleep(3 * time.Hour)
			w.expect("01 06:00 config backup kolla") // not at once, though 04:00 was due by the new rule
		})
	})
}

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1))
		w.runs(func(d *Daemon) {
			time.Sleep(time.Hour)
			d.mu.Lock()
			d.store.dir = "/dev/full/none"
			d.mu.Unlock()
			time.Sleep(2 * time.Hour)
			if q := viewOf(d); len(q.Troubles) != 1 || !strings.Contains(q.Troubles[0], "it goes on without") {
				t.Errorf("%q", q.Troubles)
			}
			w.expect(chain(1, 2, "database", "mariadb")...)
			d.mu.Lock()
			d.store.dir = w.dir
			d.mu.Unlock()
			time.Sleep(time.Minute)
			if q := viewOf(d); len(q.Troubles) != 0 {
				t.Errorf("%q", q.Troubles)
			}
		})
	})
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoTiers)
		w.runs(func(d *Daemon) {
			ask := Ask{Args: []string{"backup", "mariadb"}, Uses: []string{"source:mariadb"}}
			first, err := d.Turn(t.Context(), ask, nil)
			if err != nil {
				t.Fatal(err)
			}
			hurry := ask
			hurry.NoWait = true
			if _, err := d.Turn(t.Context(), hurry, nil); problem.KindOf(err) != problem.Busy || !strings.Contains(err.Error(), "holdfast backup mariadb, since") {
				t.Errorf("%v", err)
			}
			time.Sleep(3*time.Hour - time.Minute) // the schedule waits
			if q := viewOf(d); len(q.Runs) != 2 || q.Runs[1].Job != "database" || q.Runs[1].State != Waiting || !strings.Contains(q.Runs[1].Behind, first.ID) {
				t.Errorf("%+v", q.Runs)
			}
			if err := d.End(first.ID, job.Result{Args: ask.Args, Point: "p1"}); err != nil {
				t.Fatal(err)
			}
			d.Leave(first)
			time.Sleep(30 * time.Second)
			if got := w.did(); len(got) != 1 || got[0] != "01 02:59 database backup mariadb" {
				t.Errorf("%q", got)
			}
			told := ""
			ctx, cancel := context.WithCancel(t.Context())
			go func() { time.Sleep(time.Second); cancel() }()
			if _, err := d.Turn(ctx, ask, func(s string) { told = s }); problem.KindOf(err) != problem.Interrupted || !strings.Contains(told, "of job database") {
				t.Errorf("%v, %q", err, told)
			}
			time.Sleep(time.Hour)
			killed, err := d.Turn(t.Context(), ask, nil)
			if err != nil {
				t.Fatal(err)
			}
			d.Leave(killed)
		})
		last := w.results[len(w.results)-1]
		if w.results[0].Point != "p1" || w.results[0].Job != "" || last.Kind != "interrupted" || !strings.Contains(last.Error, "without saying") {
			t.Errorf("%+v\n%+v", w.results[0], last)
		}
	})
}

// TestResultsAreToldAgain kills a daemon whose listeners had not heard.
func TestResultsAreToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoTiers)
		w.runs(func(*Daemon) { time.Sleep(3 * time.Hour) })
		st, _ := store{w.dir}.load()
		if st.Told != 6 || st.Seq != 6 {
			t.Fatalf("%d of %d told", st.Told, st.Seq)
		}
		st.Told, w.results = 4, nil
		if err := (store{w.dir}).save(st); err != nil {
			t.Fatal(err)
		}
		w.runs(func(*Daemon) { time.Sleep(time.Second) })
		if len(w.results) != 2 {
			t.Errorf("%d results were told again", len(w.results))
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	st := &state{}
	for range mostResults + 7 {
		st.add(job.Result{})
	}
	if len(st.Results) != mostResults || st.Results[0].Seq != 8 {
		t.Errorf("%d from %d on", len(st.Results), st.Results[0].Seq)
	}
}

// TestJobIsGone: a run whose job is configured no more, whether it was cut off or waited, ends, and not well.
func TestJobIsGone(t *testing.T) {
	for name, kill := range map[string]bool{"killed": true, "stopped": false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off", 1))
			var data []byte
			w.runs(func(d *Daemon) {
				time.Sleep(2*time.Hour + 30*time.Second)
				data, _ = os.ReadFile(d.store.file())
			})
			if kill {
				if err := os.WriteFile(filepath.Join(w.dir, "state.json"), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.did()
			w.cfg = strings.Replace(w.cfg, "config: off", "config: off, database: off", 1)
			w.runs(func(*Daemon) { time.Sleep(time.Hour) })
			w.expect()
			if len(w.results) != 1 || w.results[0].Kind != "interrupted" || !strings.Contains(w.results[0].Error, "no job database") || w.results[0].Started.IsZero() ||
				!slices.Equal(w.ended, []string{w.results[0].Run}) {
				t.Errorf("%s: told %+v, ended %q", name, w.results, w.ended)
			}
		})
	}
}
