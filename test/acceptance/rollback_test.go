package acceptance

import (
	"testing"

	"holdfast/internal/lab"
)

// TestRollback: Ceph's object map hides what a rollback to an older snapshot of the user's changes; the next copy, and a restore in
// place, hold it all the same.
func TestRollback(t *testing.T) {
	i := newImages(t)
	const name, full = "volume-rollback", "volumes/volume-rollback"
	img := &lab.Image{Pool: "volumes", Name: name, Size: 40 * mebi}
	img.Do("write", 0, 8*mebi, 1).Do("snap", "u0").Do("snap", "u1").Do("write", 4*mebi, mebi, 2)
	i.make(img)
	i.backup(full)
	first, before := i.Points()[0], i.sum(full)
	i.rbd("snap", "rollback", "--no-progress", full+"@u1")
	after := i.sum(full)
	if after == before {
		t.Fatal("nothing was rolled back")
	}
	if got := i.sumIn(i.Backup("rbd", "--only", full), full); got != after {
		t.Error("the copy after the rollback is not what the image holds")
	}
	i.Run("restore", "image", first, full, "--in-place", "--yes")
	if i.sum(full) != before {
		t.Error("in place it does not hold what it held before the rollback")
	}
	i.rbd("snap", "rollback", "--no-progress", full+"@u1")
	i.Run("restore", "image", first, full, "--in-place", "--yes")
	if i.sum(full) != before {
		t.Error("in place, after a second rollback, it does not hold what it held")
	}
}
