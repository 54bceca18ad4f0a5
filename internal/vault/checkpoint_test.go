package vault

import (
	"bytes"
	"testing"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// checkpointed begins a session that has a checkpoint of x, and goes on with y. An image is open all the time.
func checkpointed(t *testing.T, v *Vault, run string) *Session {
	t.Helper()
	s := begin(t, v, run, "rbd")
	open, err := s.Tree("rbd").Create("open", meta(0o600), stream.Plain)
	check(t, err)
	_, err = open.Write(noise(3<<20, 7))
	check(t, err)
	put(t, s.Tree("rbd/x"), "raw", stream.Plain, noise(1<<20, 1))
	check(t, s.Checkpoint(t.Context(), map[string]string{"run": run}, "rbd/x"))
	put(t, s.Tree("rbd/y"), "raw", stream.Plain, noise(1<<20, 2))
	return s
}

// TestCheckpoint: what a checkpoint has outlives its session, can be adopted by the next, and is part of no point.
func TestCheckpoint(t *testing.T) {
	loc := twoPoints(t)
	v := openVault(t, loc)
	checkpointed(t, v, "killed").Abandon(t.Context())
	maintain(t, v, MaintainOptions{Full: true})

	v = openVault(t, loc)
	orphans, err := v.Orphans(t.Context())
	if err != nil || len(orphans) != 1 || orphans[0].Point != "killed" || orphans[0].Source != "rbd" {
		t.Fatalf("orphans = %+v, %v", orphans, err)
	}
	var said map[string]string
	if err := orphans[0].Manifest(t.Context(), &said); err != nil || said["run"] != "killed" {
		t.Errorf("manifest %v, %v", said, err)
	}
	if points, err := v.Points(t.Context()); err != nil || len(points) != 2 {
		t.Errorf("points %v, %v", ids(points), err)
	}
	if _, err := v.FS(t.Context(), "killed", "rbd"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a checkpoint was read as a point: %v", err)
	}

	entry, err := orphans[0].FS(t.Context()).Entry("rbd/x")
	check(t, err)
	s := begin(t, v, "next", "rbd")
	check(t, s.Adopt("rbd/x", entry))
	seal(t, s)
	sealPoint(t, v, "next", good("rbd", "rbd/x"))
	if n := sweep(t, v, "rbd"); n != 1 {
		t.Errorf("swept %d", n)
	}
	fsys, err := v.FS(t.Context(), "next", "rbd")
	check(t, err)
	if got := contentOf(t, fsys, "rbd/x/raw"); !bytes.Equal(got, noise(1<<20, 1)) {
		t.Error("the adopted file has other bytes")
	}
}

// TestCheckpointOfASealedPoint: the point has all that was captured, whatever checkpoints were made on the way; sweeping them
// takes nothing from it.
func TestCheckpointOfASealedPoint(t *testing.T) {
	loc := twoPoints(t)
	v := openVault(t, loc)
	s := checkpointed(t, v, "run")
	check(t, s.Checkpoint(t.Context(), nil, "rbd/y"))
	s.Drop("rbd/open")
	seal(t, s)
	sealPoint(t, v, "run", good("rbd", "rbd/x"), good("rbd", "rbd/y"))
	if n := sweep(t, v, "rbd"); n != 2 {
		t.Errorf("swept %d checkpoints", n)
	}
	if _, err := v.record(t.Context(), "run"); err != nil {
		t.Errorf("the point has lost its record: %v", err)
	}
	v = openVault(t, loc)
	fsys, err := v.FS(t.Context(), "run", "rbd")
	check(t, err)
	for name, seed := range map[string]byte{"x": 1, "y": 2} {
		if got := contentOf(t, fsys, "rbd/"+name+"/raw"); !bytes.Equal(got, noise(1<<20, seed)) {
			t.Errorf("%s has other bytes", name)
		}
	}
	if rep, err := v.Verify(t.Context(), "run", VerifyOptions{Depth: Full}); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("verify = %+v, %v", rep, err)
	}
}

// TestCheckpointOfWhatIsOpen is refused, and the session goes on.
func TestCheckpointOfWhatIsOpen(t *testing.T) {
	s := checkpointed(t, newVault(t), "run")
	for _, p := range []string{"rbd/open", "rbd/none"} {
		if err := s.Checkpoint(t.Context(), nil, "rbd/x", p); err == nil {
			t.Errorf("%s: no error", p)
		}
	}
	s.Drop("rbd/open")
	seal(t, s)
}
