package serve

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/job"
)

// TestTryOfLess: a try that waits for less than what failed now does not stand for it.
func TestTryOfLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off",
			"cloud: off, database: off, config: {when: daily 03:00, retry: {after: 2h}}, all: {when: daily 03:10, do: [kolla, mariadb], retry: {after: 30m}}", 1))
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "backup" && time.Now().Hour() == 3 && time.Now().Minute() < 30 {
				return 1, "failed"
			}
			return 0, ""
		}
		w.runs(func(*Daemon) { time.Sleep(23 * time.Hour) })
		both := 0
		for _, s := range w.did() {
			if strings.Contains(s, "backup kolla mariadb") {
				both++
			}
		}
		if both != 2 {
			t.Errorf("both together were tried %d times:\n%s", both, strings.Join(w.did(), "\n"))
		}
	})
}

// TestRestOfATry: what was to follow a backup that failed follows the one that an operator makes in its place.
func TestRestOfATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: {when: daily 02:00, retry: {after: 1h}}", 1))
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "backup" && time.Now().Hour() == 2 {
				return 1, "failed"
			}
			return 0, ""
		}
		w.runs(func(d *Daemon) {
			time.Sleep(2*time.Hour + 30*time.Minute)
			args := []string{"backup", "mariadb"}
			r, err := d.Turn(t.Context(), Ask{Args: args, Uses: []string{"source:mariadb"}}, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			d.End(r.ID, job.Result{Args: args, Sources: []string{"mariadb"}, Started: time.Now(), Finished: time.Now()})
			d.Leave(r)
			time.Sleep(20 * time.Hour)
		})
		did := w.did()
		backups := slices.DeleteFunc(slices.Clone(did), func(s string) bool { return !strings.Contains(s, "backup") })
		if len(backups) != 1 || !strings.Contains(strings.Join(did, " "), "replicate") || !strings.Contains(strings.Join(did, " "), "prune") {
			t.Errorf("what was to follow:\n%s", strings.Join(did, "\n"))
		}
	})
}

// TestPartSettlesNothing: a backup of a part that an operator makes leaves nothing of what is to be tried again undone.
func TestPartSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: off, database: {when: daily 02:00, retry: {after: 1h}}", 1))
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "backup" && time.Now().Hour() == 2 {
				return 1, "failed"
			}
			return 0, ""
		}
		w.runs(func(d *Daemon) {
			time.Sleep(2*time.Hour + 30*time.Minute)
			args := []string{"backup", "mariadb", "--only", "*/physical"}
			r, err := d.Turn(t.Context(), Ask{Args: args, Uses: []string{"source:mariadb"}}, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			d.End(r.ID, job.Result{Args: args, Sources: []string{"mariadb"}, Started: time.Now(), Finished: time.Now()})
			d.Leave(r)
			w.did()
			time.Sleep(20 * time.Hour)
		})
		if did := w.did(); len(did) != 6 || did[0] != "01 03:01 database backup mariadb" {
			t.Errorf("what was tried again:\n%s", strings.Join(did, "\n"))
		}
	})
}

// TestTwoJobsAtOneTier loses the second tier for one night: the one try that both jobs have brings all that is lacking there, and what
// each was to verify is verified before anything is removed.
func TestTwoJobsAtOneTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: daily 02:10", 1))
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "replicate" && time.Now().Hour() < 3 {
				return 5, "unreachable"
			}
			return 0, ""
		}
		w.runs(func(*Daemon) {
			time.Sleep(2*time.Hour + 50*time.Minute)
			w.did()
			time.Sleep(10 * time.Hour)
		})
		w.expect("01 03:03 database replicate disk", "01 03:04 database verify latest:mariadb --tier disk",
			"01 03:05 database verify latest:kolla --tier disk", "01 03:06 database prune disk --yes")
	})
}

// TestOtherJobsVerificationStays: a replication that another job does settles the try of one, and not what that was to verify.
func TestOtherJobsVerificationStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: daily 02:30", 1))
		w.does = func(s job.Step) (int, string) {
			if s.Verb() == "replicate" && time.Now().Minute() < 30 {
				return 5, "unreachable"
			}
			return 0, ""
		}
		w.runs(func(*Daemon) { time.Sleep(12 * time.Hour) })
		did := strings.Join(w.did(), "\n")
		for _, source := range []string{"mariadb", "kolla"} {
			if strings.Count(did, "verify latest:"+source+" --tier disk") != 1 {
				t.Errorf("%s is not verified once:\n%s", source, did)
			}
		}
	})
}
