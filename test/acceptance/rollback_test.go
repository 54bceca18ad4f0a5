package acceptance

import (
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/point"
)

// TestRollback: Ceph's object map may hide what a rollback to an older snapshot of the user's changes; the next copy, and a restore in
// place, hold it all the same.
func TestRollback(t *testing.T) {
	i := newImages(t)
	for name, tc := range map[string]struct{ before, after func(r rolling) }{
		"two":         {func(r rolling) { r.snap("u0"); r.snap("u1") }, rolling.stay},
		"one":         {func(r rolling) { r.snap("u1") }, rolling.stay},
		"one of ours": {func(r rolling) { r.backup(r.full); r.snap("u1") }, rolling.stay}, // ours is removed by the next
		"a removed one": {func(r rolling) {
			r.snap("u0")
			r.snap("u1")
			r.remove("u0")
		}, rolling.stay},
		"written since":     {func(r rolling) { r.snap("u0"); r.snap("u1") }, func(r rolling) { r.change(r.name, dirty(20, 3)) }},
		"a snapshot since":  {func(r rolling) { r.snap("u0"); r.snap("u1") }, func(r rolling) { r.snap("u2") }},
		"one that is gone":  {func(r rolling) { r.snap("u0"); r.snap("u1") }, func(r rolling) { r.remove("u1") }},
		"all that are gone": {func(r rolling) { r.snap("u0"); r.snap("u1") }, func(r rolling) { r.remove("u0"); r.remove("u1") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := i.rolling(t, 40*mebi)
			tc.before(r)
			r.back(t, tc.after)
		})
	}
	t.Run("none", func(t *testing.T) {
		r := i.rolling(t, 1024*mebi)
		r.snap("u0")
		r.change(r.name, dirty(4, 2))
		r.snap("u1")
		r.change(r.name, dirty(4, 3))
		r.backup(r.full)
		if c := r.backup(r.full); c.Mode != point.Unchanged {
			t.Errorf("nothing changed, and it is %s", c.Mode)
		}
		r.change(r.name, func(m *lab.Image) { m.Do("write", 8*mebi, 4096, 4) })
		if c := r.backup(r.full); c.Proof["data_bytes"] != float64(4*mebi) {
			t.Errorf("the object map was not believed: %v", c.Proof)
		}
	})
}

// rolling is an image that is rolled back.
type rolling struct {
	*images
	name, full string
}

func (i *images) rolling(t *testing.T, size int64) rolling {
	r := rolling{i, "volume-rollback", "volumes/volume-rollback"}
	img := &lab.Image{Pool: "volumes", Name: r.name, Size: size}
	i.make(img.Do("write", 0, 12*mebi, 1))
	t.Cleanup(func() {
		i.rbd("snap", "purge", "--no-progress", r.full)
		i.rbd("rm", "--no-progress", r.full)
	})
	return r
}

func (r rolling) stay() {}

func (r rolling) snap(name string) { r.rbd("snap", "create", "--no-progress", r.full+"@"+name) }

func (r rolling) remove(name string) { r.rbd("snap", "rm", "--no-progress", r.full+"@"+name) }

// dirty changes a MiB of an image.
func dirty(at, seed int64) func(*lab.Image) {
	return func(m *lab.Image) { m.Do("write", at*mebi, mebi, seed) }
}

// back rolls the image back to its snapshot u1 after a copy was taken, with what happens then.
func (r rolling) back(t *testing.T, then func(rolling)) {
	r.change(r.name, dirty(4, 2))
	p := r.Backup("rbd", "--only", r.full)
	before := r.sum(r.full)
	r.rbd("snap", "rollback", "--no-progress", r.full+"@u1")
	then(r)
	after := r.sum(r.full)
	if after == before {
		t.Fatal("nothing was rolled back")
	}
	if got := r.sumIn(r.Backup("rbd", "--only", r.full), r.full); got != after {
		t.Error("the copy after the rollback is not what the image holds")
	}
	for n := range 2 {
		r.Run("restore", "image", p.ID, r.full, "--in-place", "--yes")
		if r.sum(r.full) != before {
			t.Error("in place it does not hold what it held before the rollback")
		}
		if n == 0 && strings.Contains(r.rbd("snap", "ls", r.full), " u1 ") {
			r.rbd("snap", "rollback", "--no-progress", r.full+"@u1")
		}
	}
}
