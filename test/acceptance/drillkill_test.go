package acceptance

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/test/journey"
)

// TestDrillKilled kills drills in their steps. Their servers end with them, and the next drill removes what they left.
func TestDrillKilled(t *testing.T) {
	s := onStage(t)
	dice := rand.New(rand.NewPCG(1, 2))
	l := s.forge(t, "20200104-000000-logi", []string{logical}, nil)
	p := s.forge(t, "20200105-000000-phys", []string{physical}, nil)
	for _, at := range []struct{ point, step string }{
		{l.ID, "start an empty server"}, {l.ID, "load the dump"}, {l.ID, "compare the loaded tables"},
		{p.ID, "write "}, {p.ID, "prepare"}, {p.ID, "start the restored server"}, {p.ID, "compare the restored tables"},
	} {
		t.Run(at.step, func(t *testing.T) {
			s.op = journey.At(t, s.site)
			run := s.op.Start("drill", "mariadb", at.point)
			if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && strings.HasPrefix(e.Component, at.step) }); !ok {
				t.Fatalf("it did not get there: %+v", run.Wait())
			}
			time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond) // somewhere in the step, the same in every run
			children, ok := run.Kill()
			if !ok {
				t.Fatal("it ended before it was killed")
			}
			gone(t, children)
			if len(s.left(t)) != 1 {
				t.Errorf("%q is left, and one drill was killed", s.left(t))
			}
		})
		s.sweptByDoctor(t)
	}
}

// left are the directories of drills.
func (s scene) left(t *testing.T) (dirs []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.site.State, "drills"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		dirs = append(dirs, e.Name())
	}
	return dirs
}

// sweptByDoctor demands that doctor names what is left, and removes it.
func (s scene) sweptByDoctor(t *testing.T) {
	t.Helper()
	s.op = journey.At(t, s.site)
	if out := s.op.Try("doctor").Stdout; !strings.Contains(out, "killed") {
		t.Errorf("doctor does not tell of the drill that was killed:\n%s", out)
	}
	s.nothingLeft(t)
}

// TestDrillLeftServer kills a drill together with what would end its server. The next drill ends it.
func TestDrillLeftServer(t *testing.T) {
	s := onStage(t)
	p := s.forge(t, "20200106-000000-left", []string{physical}, nil)
	run := s.op.Start("drill", "mariadb", p.ID)
	if _, ok := run.Await(func(e event.Event) bool {
		return e.Kind == event.Started && e.Component == "compare the restored tables"
	}); !ok {
		t.Fatalf("it did not get there: %+v", run.Wait())
	}
	if err := syscall.Kill(run.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var servers []journey.Process
	for _, child := range journey.Descendants(run.PID()) {
		switch child.Name() {
		case "mariadbd":
			servers = append(servers, child)
		case "sh":
			_ = syscall.Kill(child.PID, syscall.SIGKILL) // it may have ended
		}
	}
	if _, ok := run.Kill(); !ok || len(servers) != 1 || !servers[0].Alive() {
		t.Fatalf("no server was left: %v", servers)
	}
	d := drilled(t, s.op.Fails(3, nil, "drill", "mariadb", p.ID, "--json"))
	if servers[0].Alive() {
		t.Errorf("the next drill left %v", servers[0])
	}
	if part(t, d, physical).State != "proven" {
		t.Errorf("the next drill is %s: %+v", d.State, d)
	}
	s.nothingLeft(t)
}

// TestDrillInterrupted stops a drill as ctrl-C does: it removes everything, and says nothing of the point.
func TestDrillInterrupted(t *testing.T) {
	s := onStage(t)
	p := s.forge(t, "20200107-000000-stop", []string{logical}, nil)
	run := s.op.Start("drill", "mariadb", p.ID)
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == "load the dump" }); !ok {
		t.Fatalf("it did not get there: %+v", run.Wait())
	}
	children := journey.Descendants(run.PID())
	run.Interrupt()
	if r := run.Wait(); r.Code != 130 {
		t.Errorf("it ended with %d: %s", r.Code, r.Stderr)
	}
	gone(t, children)
	s.nothingLeft(t)
	if out := s.op.Run("show", p.ID); strings.Contains(out, "\ndrill ") {
		t.Errorf("a drill that was stopped is told:\n%s", out)
	}
}
