package vault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"holdfast/internal/problem"
)

// copierEnv makes the test binary a process that copies all points of the first vault that it names into the second, and
// writes a line for each content.
const copierEnv = "HOLDFAST_TEST_COPIER"

func copyAll(from, to Location) error {
	ctx := context.Background()
	flushBytes = 1 << 20
	first, err := Open(ctx, from, testPass, OpenOptions{Cloud: testCloud})
	if err != nil {
		return err
	}
	second, err := Open(ctx, to, testPass, OpenOptions{Cloud: testCloud})
	if err != nil {
		return err
	}
	r, err := first.Replica(ctx, second, ReplicaOptions{Progress: func(c Copied) { fmt.Println(c.Contents) }})
	if err != nil {
		return err
	}
	for _, p := range r.Lacking() {
		if _, err := r.Copy(ctx, p.ID); err != nil {
			return err
		}
	}
	return r.Close(ctx)
}

// slack is how many contents an interruption may cost: what was on its way, and what was not flushed.
const slack = replicaParallel + 1<<20/leastBlock + 2

// missing is how many contents the second vault lacks.
func missing(t *testing.T, from, to *Vault) (n int) {
	t.Helper()
	r := replica(t, from, to, ReplicaOptions{DryRun: true})
	for _, p := range r.Lacking() {
		c, err := r.Copy(t.Context(), p.ID)
		check(t, err)
		n += c.Contents
	}
	return n
}

// TestReplicaKilled kills a process that copies, several times: each next one goes on where it was, and nothing is listed that
// is not whole.
func TestReplicaKilled(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(replicaPieces)...)
	imagePoint(t, first, "p2", "p1", 1, 2)
	loc := createSecond(t, first)
	lacks := missing(t, first, openVault(t, loc))
	for _, after := range []int{1, 50, 70} {
		killedCopy(t, first.Location(), loc, after)
		second := openVault(t, loc)
		left := missing(t, first, second)
		if left > lacks-after+slack {
			t.Errorf("%d contents lacked, %d were copied, %d lack now", lacks, after, left)
		}
		lacks = left
		if points, err := second.Points(t.Context()); err != nil || len(points) > 0 {
			t.Errorf("held %v, %v", points, err)
		}
	}
	second := openVault(t, loc)
	copied := replicate(t, first, second)
	if len(copied) != 2 || copied[0].Contents+copied[1].Contents > lacks {
		t.Errorf("%d lacked: copied %+v", lacks, copied)
	}
	if rep, err := second.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil || rep.Points != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
	if len(second.mustOrphans(t)) > 0 {
		t.Error("orphans are left")
	}
}

func (v *Vault) mustOrphans(t *testing.T) []Orphan {
	t.Helper()
	all, err := v.Orphans(t.Context())
	check(t, err)
	return all
}

// killedCopy runs a copy and kills it after so many contents.
func killedCopy(t *testing.T, from, to Location, after int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), copierEnv+"="+from.URL+" "+to.URL)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	n := 0
	for n < after && lines.Scan() {
		n++
	}
	check(t, cmd.Process.Kill())
	for lines.Scan() { // what it had written
		n++
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("the copy ended before it was killed, after %d contents", n)
	}
}

// TestReplicaInterrupted cancels a copy: what was copied lasts, down to what was on its way.
func TestReplicaInterrupted(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(replicaPieces)...)
	second := secondVault(t, first)
	lacks := missing(t, first, second)
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int64
	r, err := first.Replica(ctx, second, ReplicaOptions{Progress: func(Copied) {
		if done.Add(1) == 100 {
			cancel()
		}
	}})
	check(t, err)
	if _, err := r.Copy(ctx, "p1"); !errors.Is(err, context.Canceled) || problem.KindOf(err) != problem.Interrupted {
		t.Errorf("copy = %v", err)
	}
	check(t, r.Close(t.Context()))
	if left := missing(t, first, second); left > lacks-int(done.Load()) {
		t.Errorf("%d contents lacked, %d were copied, %d lack now", lacks, done.Load(), left)
	}
	replicate(t, first, second)
	if _, err := second.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}
