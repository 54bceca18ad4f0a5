package backup

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// TestStoppedRunLeavesNoPoint cancels a run while a component streams; the next run is as if it had never been.
func TestStoppedRunLeavesNoPoint(t *testing.T) {
	v := newVault(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	src := trees("kolla", "ctl1", "ctl2")
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		if task.Name == "ctl2" {
			cancel()
			<-ctx.Done()
			return source.Outcome{}, ctx.Err()
		}
		return good(ctx, task, sink)
	}
	e := engine(t, v, src)
	_, err := e.Run(ctx)
	if problem.KindOf(err) != problem.Interrupted || problem.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if ids := points(t, v); len(ids) != 0 || left(t, e.Journal) != nil {
		t.Errorf("points %v, journal %v", ids, left(t, e.Journal))
	}
	src.capture = good
	if p := mustRun(t, e); p.State != point.Complete || p.Notes != nil {
		t.Errorf("the next run: %+v", p)
	}
}

// TestKilledRunIsReportedOnce begins where a kill -9 left off: a name in the journal, a sealed source without a point.
func TestKilledRunIsReportedOnce(t *testing.T) {
	v := newVault(t, t.TempDir())
	e := engine(t, v, trees("kolla", "ctl1"))
	if _, err := e.Journal.enter("20260228-020000-dead", []string{"kolla"}, t0); err != nil {
		t.Fatal(err)
	}
	session, err := v.Begin(t.Context(), "20260228-020000-dead", "kolla")
	if err != nil {
		t.Fatal(err)
	}
	if err := session.WriteFile("kolla/ctl1/file", metaOfTest, []byte("half a run")); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Seal(t.Context(), manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	p := mustRun(t, e)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "run 20260228-020000-dead") || !strings.Contains(p.Notes[0], "was killed") {
		t.Errorf("notes %q", p.Notes)
	}
	if orphans, err := v.Orphans(t.Context()); err != nil || len(orphans) != 0 {
		t.Errorf("orphans %v, %v", orphans, err)
	}
	if again := mustRun(t, e); again.Notes != nil || left(t, e.Journal) != nil {
		t.Errorf("told again: %q, journal %v", again.Notes, left(t, e.Journal))
	}
}

// TestRunKilledAfterItsPointWasSealed: the point counts, and the next run does not say otherwise.
func TestRunKilledAfterItsPointWasSealed(t *testing.T) {
	v := newVault(t, t.TempDir())
	e := engine(t, v, trees("kolla", "ctl1"))
	sealed := mustRun(t, e)
	if _, err := e.Journal.enter(sealed.ID, []string{"kolla"}, t0); err != nil {
		t.Fatal(err)
	}
	p := mustRun(t, e)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], sealed.ID) || !strings.Contains(p.Notes[0], "is complete and counts") {
		t.Errorf("notes %q", p.Notes)
	}
	if ids := points(t, v); len(ids) != 2 {
		t.Errorf("points %v", ids)
	}
}

// TestRunLeavesOtherSourcesAlone: what a killed run left of another source waits for that source's next run, so that no
// run of it finds its lock taken meanwhile.
func TestRunLeavesOtherSourcesAlone(t *testing.T) {
	v := newVault(t, t.TempDir())
	leave := func(source string) {
		session, err := v.Begin(t.Context(), "20260228-020000-dead", source)
		if err != nil {
			t.Fatal(err)
		}
		if err := session.WriteFile(source+"/x", metaOfTest, []byte("half a run")); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Seal(t.Context(), manifest{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	leave("mariadb")
	leave("kolla")
	mustRun(t, engine(t, v, trees("kolla", "ctl1")))
	orphans, err := v.Orphans(t.Context())
	if err != nil || len(orphans) != 1 || orphans[0].Source != "mariadb" {
		t.Errorf("orphans %+v, %v", orphans, err)
	}
}

// TestCallerHoldsTheLocks: they are taken once, before the sources are set up, and are the caller's to give back.
func TestCallerHoldsTheLocks(t *testing.T) {
	v := newVault(t, t.TempDir())
	e := engine(t, v, trees("kolla", "ctl1"))
	unlock, err := Lock(v, "mariadb", "kolla")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(v, "ceph", "kolla"); problem.KindOf(err) != problem.Busy {
		t.Errorf("locked twice: %v", err)
	}
	if free, err := Lock(v, "ceph"); err != nil {
		t.Errorf("a lock was kept by one who got not all of them: %v", err)
	} else {
		free()
	}
	e.Locked = true
	if p := mustRun(t, e); p.State != point.Complete {
		t.Errorf("point %+v", p)
	}
	if _, err := Lock(v, "kolla"); problem.KindOf(err) != problem.Busy {
		t.Errorf("the run gave the caller's lock away: %v", err)
	}
	unlock()
	if again, err := Lock(v, "kolla", "mariadb"); err != nil {
		t.Errorf("after the end: %v", err)
	} else {
		again()
	}
}

// TestTwoRunsAtOnce: the second of the same source is busy at once, and takes no lock of another source with it.
func TestTwoRunsAtOnce(t *testing.T) {
	v := newVault(t, t.TempDir())
	inside, leave := make(chan struct{}), make(chan struct{})
	slow := trees("kolla", "ctl1")
	slow.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		close(inside)
		<-leave
		return good(ctx, task, sink)
	}
	first := engine(t, v, slow)
	ended := make(chan error)
	go func() {
		_, err := first.Run(context.WithoutCancel(t.Context()))
		ended <- err
	}()
	<-inside
	second := engine(t, v, trees("mariadb", "shard0"), trees("kolla", "ctl1"))
	second.Journal = first.Journal
	if _, err := second.Run(t.Context()); problem.KindOf(err) != problem.Busy || problem.HintOf(err) == "" {
		t.Errorf("same source: %v", err)
	}
	if names := left(t, first.Journal); !slices.Equal(names, []string{"kolla.running"}) {
		t.Errorf("journal %v", names)
	}
	other := engine(t, v, trees("mariadb", "shard0"))
	if p := mustRun(t, other); p.State != point.Complete {
		t.Errorf("another source: %+v", p)
	}
	close(leave)
	if err := <-ended; err != nil {
		t.Errorf("the first run: %v", err)
	}
	if ids := points(t, v); len(ids) != 2 {
		t.Errorf("points %v", ids)
	}
}

// TestFullDisk runs into the end of a real filesystem: nothing is called good, what was there stays, and with room
// again everything works.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatalf("mount a small filesystem: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	v := newVault(t, filepath.Join(dir, "vault"))
	small := trees("kolla", "ctl1")
	kept := mustRun(t, engine(t, v, small))
	huge := trees("kolla", "ctl1")
	huge.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		data := make([]byte, 64<<20)
		_, _ = rand.Read(data)
		if err := put(sink, "huge", data); err != nil {
			return source.Outcome{}, err
		}
		return good(ctx, task, sink)
	}
	e := engine(t, v, huge)
	p, err := e.Run(t.Context())
	switch {
	case err == nil && (p.State != point.Failed || !strings.Contains(p.Components[0].Reason, "no space left")):
		t.Errorf("a full disk made %+v", p)
	case err != nil && (problem.KindOf(err) != problem.Failed || !strings.Contains(problem.HintOf(err), "free space")):
		t.Errorf("a full disk: %v, hint %q", err, problem.HintOf(err))
	}
	if names := left(t, e.Journal); names != nil {
		t.Errorf("journal %v", names)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.FS(t.Context(), kept.ID, "kolla"); err != nil {
		t.Errorf("the point before: %v", err)
	}
	if p := mustRun(t, engine(t, v, small)); p.State != point.Complete {
		t.Errorf("with room again: %+v", p)
	}
}

// TestJournalThatCannotBeWritten: a run that could not be noticed when it is killed does not begin.
func TestJournalThatCannotBeWritten(t *testing.T) {
	v := newVault(t, t.TempDir())
	e := engine(t, v, trees("kolla", "ctl1"))
	if err := os.WriteFile(e.Journal.Dir, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "write journal") {
		t.Errorf("got %v", err)
	}
	if ids := points(t, v); len(ids) != 0 {
		t.Errorf("points %v", ids)
	}
}
