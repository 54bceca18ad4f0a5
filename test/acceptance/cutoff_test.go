package acceptance

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/test/journey"
)

// Where a restore of the scene's point puts things on a node. Each begins with D, the datadir; P is the point and OLD
// what was given as --old-to.
const places = "D=/var/lib/mysql/data; A=$D.holdfast-old-$P; E=$D.holdfast-empty-$P; S=$D.holdfast-new-$P; G=$D.holdfast-gone-$P; " +
	"[ -z \"$OLD\" ] || A=$OLD/mariadb-$P; M=.holdfast-replaces; like() { chown --reference=\"$1\" \"$2\"; chmod --reference=\"$1\" \"$2\"; }; "

// TestClusterCutOffBetweenMoves puts each node into a state that a restore leaves which is killed while it exchanges
// the datadirs, and restores again.
func TestClusterCutOffBetweenMoves(t *testing.T) {
	s := onStage(t)
	for _, test := range []struct {
		name, old string
		nodes     [3]string
		keeps     int // nodes whose datadir the plan still moves
	}{
		{"between the moves of a node", "", [3]string{
			"mkdir -m 700 $S; echo half >$S/ibdata1; mv -T $D $A",
			"mkdir -m 700 $E",
			"mkdir $E; like $D $E; mv -T $D $A",
		}, 1},
		{"between the nodes", "", [3]string{
			"mkdir $S; echo unused >$S/ibdata1; like $D $S; mv -T $D $A; printf %s $A >$S/$M; mv -T $S $D",
			":",
			"mv -T $D $A; mkdir -m 755 $D", // not yet given to the server
		}, 1},
		{"to another file system", "/run/old", [3]string{
			"mkdir -p $OLD $A.part; cp -a $D/ibdata1 $A.part; mkdir -m 700 $S; echo half >$S/ibdata1",
			"mkdir -p $OLD; cp -aT $D $A; printf %s $A >$D/$M; mkdir $E",
			"mkdir -p $OLD; cp -aT $D $A; printf %s $A >$D/$M; mkdir $E; like $D $E; mv -T $D $G",
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.op = journey.At(t, s.site)
			defer s.forget(t)
			owners := map[string]string{}
			for i, n := range s.lab.Nodes() {
				owners[n.Host] = fileOwner(t, s.lab.Datadir(n.Host))
				if err := s.lab.Stop(t.Context(), n.Host); err != nil {
					t.Fatal(err)
				}
				shell(t, s.lab, n.Host, "P="+s.point.ID+" OLD="+test.old+"; "+places+"touch $D/was-here; "+test.nodes[i])
			}
			var more []string
			if test.old != "" {
				more = []string{"--old-to", test.old}
			}
			moves := 0
			for _, step := range s.plan(t, s.op, more...).Steps {
				if strings.Contains(step, " move /var/lib/mysql/data to ") {
					moves++
				}
			}
			if moves != test.keeps {
				t.Errorf("%d datadirs would be moved, want %d", moves, test.keeps)
			}
			s.op.Run(s.cluster(more...)...)
			s.assertRestored(t)
			for _, n := range s.lab.Nodes() {
				if got := fileOwner(t, s.lab.Datadir(n.Host)); got != owners[n.Host] {
					t.Errorf("%s: the datadir is %s, was %s", n.Host, got, owners[n.Host])
				}
				kept := shell(t, s.lab, n.Host, "P="+s.point.ID+" OLD="+test.old+"; "+places+
					"ls -d $D.* $OLD/mariadb-* 2>/dev/null || :; test -f $A/was-here; test -d $A/nova; test ! -e $D/was-here; rm -rf /run/old")
				if lines := strings.Fields(kept); len(lines) != 1 {
					t.Errorf("%s: there is %q, want the old datadir once", n.Host, lines)
				}
			}
		})
	}
}

// TestPreparedCopyIsTakenOnce lets a server refuse to stop: the prepared copy stays, the plan tells, and the next run
// takes it.
func TestPreparedCopyIsTakenOnce(t *testing.T) {
	s := onStage(t)
	defer s.forget(t)
	stubborn := s.elsewhere(t, func(config string) string {
		return strings.Replace(config, "stop: /etc/kolla/lab/mariadb-stop", "stop: echo cannot >&2; exit 1", 1)
	})
	staged := "/var/lib/mysql/data.holdfast-new-" + s.point.ID
	stubborn.Fails(1, []string{"no datadir was touched", "stays in " + staged + " on ctl1"}, s.cluster()...)
	if plan := s.plan(t, s.op); !strings.Contains(strings.Join(plan.Steps, "\n"), "prepared in "+staged) {
		t.Errorf("the plan does not tell of the prepared copy: %q", plan.Steps)
	}
	run := s.op.Start(s.cluster()...)
	if r := run.Wait(); r.Code != 0 {
		t.Fatalf("restore ended with %d\n%s", r.Code, r.Stderr)
	}
	for _, e := range run.Events() {
		if e.Kind == event.Started && strings.HasPrefix(e.Component, "write to") {
			t.Error("the copy was written again")
		}
	}
	s.assertRestored(t)
	if left, _ := filepath.Glob(s.lab.Datadir("ctl1") + ".holdfast-new-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// notes are what a run told of a step.
func notes(run *journey.Run, step string) (texts []string) {
	for _, e := range run.Events() {
		if e.Kind == event.Note && e.Component == step {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// TestJoinerThatEnds kills a server while it takes its copy from the cluster: it is started again.
func TestJoinerThatEnds(t *testing.T) {
	s := onStage(t)
	defer s.forget(t)
	run := s.op.Start(s.cluster()...)
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == "join ctl2" }); !ok {
		t.Fatalf("it did not come to join ctl2: %+v", run.Wait())
	}
	copies := func(p journey.Process) bool { return p.Name() == "rsync" && p.Host == "ctl2" }
	for tick, end := time.NewTicker(5*time.Millisecond), time.Now().Add(time.Minute); !slices.ContainsFunc(journey.OnHosts(s.lab), copies); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("ctl2 took no copy")
		}
	}
	if err := s.lab.Kill(t.Context(), "ctl2"); err != nil {
		t.Fatal(err)
	}
	if r := run.Wait(); r.Code != 0 {
		t.Errorf("restore ended with %d\n%s", r.Code, r.Stderr)
	}
	if told := notes(run, "join ctl2"); len(told) != 1 || !strings.Contains(told[0], "the server on ctl2 ended before it was Synced and is started again, 2 of 3") {
		t.Errorf("it told %q", told)
	}
	s.assertRestored(t)
}

// TestJoinerThatNeverComes starts nothing: after three starts the restore fails and says where.
func TestJoinerThatNeverComes(t *testing.T) {
	s := onStage(t)
	defer s.forget(t)
	op := s.elsewhere(t, func(config string) string {
		return strings.Replace(config, "start: /etc/kolla/lab/mariadb-start", "start: 'true'", 1)
	})
	run := op.Start(s.cluster()...)
	r := run.Wait()
	for _, says := range []string{"ctl2 did not join in 3 starts", "error log on ctl2", "the old datadirs are kept"} {
		if r.Code != 1 || !strings.Contains(r.Stderr, says) {
			t.Errorf("it ended with %d and does not say %q:\n%s", r.Code, says, r.Stderr)
		}
	}
	if told := notes(run, "join ctl2"); len(told) != 2 {
		t.Errorf("it told %q", told)
	}
	s.op.Run(s.cluster()...)
	s.assertRestored(t)
}
