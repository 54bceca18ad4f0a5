package acceptance

import (
	"testing"

	"holdfast/internal/lab"
)

// TestRollback: Ceph's object map may hide what a rollback to an older snapshot of the user's changes; the next copy, and a restore in
// place, hold it all the same.
func TestRollback(t *testing.T) {
	i := newImages(t)
	for name, snaps := range map[string]func(full string, snap func(string)){
		"two":         func(_ string, snap func(string)) { snap("u0"); snap("u1") },
		"one":         func(_ string, snap func(string)) { snap("u1") },
		"one of ours": func(full string, snap func(string)) { i.backup(full); snap("u1") }, // ours is removed by the next
		"a removed one": func(full string, snap func(string)) {
			snap("u0")
			snap("u1")
			i.rbd("snap", "rm", "--no-progress", full+"@u0")
		},
	} {
		t.Run(name, func(t *testing.T) { i.rolledBack(t, snaps) })
	}
}

func (i *images) rolledBack(t *testing.T, snaps func(full string, snap func(string))) {
	const name, full = "volume-rollback", "volumes/volume-rollback"
	img := &lab.Image{Pool: "volumes", Name: name, Size: 40 * mebi}
	i.make(img.Do("write", 0, 8*mebi, 1))
	defer func() {
		i.rbd("snap", "purge", "--no-progress", full)
		i.rbd("rm", "--no-progress", full)
	}()
	snaps(full, func(snap string) { i.rbd("snap", "create", "--no-progress", full+"@"+snap) })
	i.change(name, func(m *lab.Image) { m.Do("write", 4*mebi, mebi, 2) })
	p := i.Backup("rbd", "--only", full)
	before := i.sum(full)
	i.rbd("snap", "rollback", "--no-progress", full+"@u1")
	after := i.sum(full)
	if after == before {
		t.Fatal("nothing was rolled back")
	}
	if got := i.sumIn(i.Backup("rbd", "--only", full), full); got != after {
		t.Error("the copy after the rollback is not what the image holds")
	}
	for range 2 {
		i.Run("restore", "image", p.ID, full, "--in-place", "--yes")
		if i.sum(full) != before {
			t.Error("in place it does not hold what it held before the rollback")
		}
		i.rbd("snap", "rollback", "--no-progress", full+"@u1")
	}
}
