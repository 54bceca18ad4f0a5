package acceptance

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// images is an operator of a lab whose pools a test fills itself.
type images struct {
	*journey.Operator
	t *testing.T
	l *lab.Lab
}

func newImages(t *testing.T) *images {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	i := &images{journey.At(t, journey.NewSite(t, l, nil)), t, l}
	i.Init()
	return i
}

func (i *images) rbd(args ...string) string {
	i.t.Helper()
	out, err := i.l.Rbd(i.t.Context(), args...)
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

func (i *images) make(img *lab.Image) {
	i.t.Helper()
	if err := i.l.MakeImages(i.t.Context(), img); err != nil {
		i.t.Fatal(err)
	}
}

func (i *images) change(name string, do func(*lab.Image)) {
	i.t.Helper()
	img := &lab.Image{Pool: "volumes", Name: name}
	do(img)
	if err := i.l.ChangeImages(i.t.Context(), img); err != nil {
		i.t.Fatal(err)
	}
}

// sum tells what an image holds.
func (i *images) sum(spec string) string {
	i.t.Helper()
	file := filepath.Join(i.t.TempDir(), "raw")
	i.rbd("export", "--no-progress", spec, file)
	defer os.Remove(file)
	return sumOfFile(i.t, file)
}

func (i *images) backup(name string) point.Component {
	i.t.Helper()
	p := i.Backup("rbd", "--only", name)
	c, _ := p.Component("rbd", name)
	if c.State != point.Good {
		i.t.Fatalf("%s is %s: %s", name, c.State, c.Reason)
	}
	return c
}

// TestImageInPlace turns an image back, keeps what it replaces, and goes on with increments.
func TestImageInPlace(t *testing.T) {
	i := newImages(t)
	const name, full = "volume-inplace", "volumes/volume-inplace"
	img := &lab.Image{Pool: "volumes", Name: name, Size: 40 * mebi}
	img.Do("write", 0, 10*mebi, 1).Do("write", 20*mebi, 4*mebi, 2)
	i.make(img)
	i.backup(full)
	first, want := i.Points()[0], i.sum(full)
	i.change(name, func(m *lab.Image) { m.Do("write", mebi, 4096, 3).Do("write", 30*mebi, mebi, 4) })
	i.backup(full)
	i.change(name, func(m *lab.Image) { m.Do("discard", 0, 2*mebi).Do("resize", 60*mebi).Do("write", 50*mebi, mebi, 5) })
	replaced := i.sum(full)

	t.Run("open", func(t *testing.T) { i.refusedWhileOpen(t, first, full) })
	plan := i.Run("restore", "image", first, full, "--in-place", "--dry-run")
	if !strings.Contains(plan, "where it may differ") || i.sum(full) != replaced {
		t.Errorf("the plan, which changes nothing: %s", plan)
	}
	i.Run("restore", "image", first, full, "--in-place", "--yes")
	if i.sum(full) != want {
		t.Error("the image does not hold what it held")
	}
	kept := i.kept(name)
	if len(kept) != 1 || i.sum(full+"@"+kept[0]) != replaced {
		t.Errorf("kept: %q, and what it holds is not what was replaced", kept)
	}
	if c := i.backup(full); c.Mode != point.Incremental || len(i.kept(name)) != 1 {
		t.Errorf("the next backup: %s (%s), kept %q", c.Mode, c.Reason, i.kept(name))
	}
	i.rbd("snap", "rollback", "--no-progress", full+"@"+kept[0])
	if i.sum(full) != replaced {
		t.Error("it could not be taken back")
	}
	for _, s := range strings.Fields(i.rbd("snap", "ls", full)) {
		if strings.HasPrefix(s, "backup.holdfast-") {
			i.rbd("snap", "rm", "--no-progress", full+"@"+s)
		}
	}
	i.Run("restore", "image", first, full, "--in-place", "--yes")
	if i.sum(full) != want {
		t.Error("without a snapshot of ours it does not hold what it held")
	}
}

func (i *images) kept(name string) (kept []string) {
	for _, s := range strings.Fields(i.rbd("snap", "ls", "volumes/"+name)) {
		if strings.HasPrefix(s, "holdfast-kept-") {
			kept = append(kept, s)
		}
	}
	return kept
}

// refusedWhileOpen has another client hold the image open.
func (i *images) refusedWhileOpen(t *testing.T, id, full string) {
	i.open(t, full)
	i.Fails(1, []string{"it is open at", "stop the server"}, "restore", "image", id, full, "--in-place", "--yes")
}

// open has another client hold an image open until the test is over.
func (i *images) open(t *testing.T, full string) {
	watch := exec.Command("rbd", "-c", i.l.Ceph.Conf, "watch", full)
	stdin, err := watch.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = watch.Process.Kill()
		_ = watch.Wait()
		// The cluster forgets a client that died after 30 s, or at once when it is told.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		said, err := i.l.Rbd(ctx, "status", full)
		if err != nil {
			t.Error(err)
		}
		for _, w := range strings.Fields(said) {
			if addr, ok := strings.CutPrefix(w, "watcher="); ok {
				if _, err := i.l.Run(ctx, "sto1", "ceph", "-c", i.l.Ceph.Conf, "osd", "blocklist", "add", addr); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for deadline := time.Now().Add(time.Minute); !strings.Contains(i.rbd("status", full), "watcher="); {
		if time.Now().After(deadline) {
			t.Fatal("nobody watches the image")
		}
	}
}

// TestInPlaceAfterThePlan: what becomes of the image between the plan and its execution is seen.
func TestInPlaceAfterThePlan(t *testing.T) {
	i := newImages(t)
	const name, full = "volume-later", "volumes/volume-later"
	img := &lab.Image{Pool: "volumes", Name: name, Size: 40 * mebi}
	img.Do("write", 0, 10*mebi, 1)
	i.make(img)
	i.backup(full)
	want := i.sum(full)
	i.change(name, func(m *lab.Image) { m.Do("write", mebi, 4096, 3) })
	restore := []string{"restore", "image", i.Points()[0], full, "--in-place"}
	r := i.Asks(func() {
		i.change(name, func(m *lab.Image) {
			m.Do("write", 24*mebi, mebi, 4).Do("resize", 60*mebi).Do("write", 50*mebi, mebi, 5)
		})
	}, restore...)
	if r.Code != 0 || i.sum(full) != want {
		t.Errorf("after a write behind the plan's back it ended with %d, and the image is not what it was\n%s", r.Code, r.Stderr)
	}
	i.change(name, func(m *lab.Image) { m.Do("write", 2*mebi, 4096, 6) })
	before, kept := i.sum(full), i.kept(name)
	r = i.Asks(func() { i.open(t, full) }, restore...)
	if r.Code != 1 || !strings.Contains(r.Stderr, "since the plan was made it is open at") || i.sum(full) != before || len(i.kept(name)) != len(kept) {
		t.Errorf("open by then: %d, kept %q before and %q after\n%s", r.Code, kept, i.kept(name), r.Stderr)
	}
}

// TestCloneComesBack: as a clone where its parent is the same still, else whole.
func TestCloneComesBack(t *testing.T) {
	i := newImages(t)
	const glance, clone = "0b6f1a52-0b1f-4e9c-9d2a-33c1d2a4e501", "volume-clone"
	img := &lab.Image{Pool: "images", Name: glance, Size: 24 * mebi}
	img.Do("write", 0, 8*mebi, 1).Do("write", 12*mebi, 6*mebi, 2).Do("snap", "snap").Do("protect", "snap")
	i.make(img)
	child := &lab.Image{Pool: "volumes", Name: clone, Size: 32 * mebi, Parent: []string{"images", glance, "snap"}}
	child.Do("write", 4*mebi, mebi, 3).Do("discard", 12*mebi, 4*mebi).Do("write", 28*mebi, mebi, 4)
	i.make(child)
	p := i.Backup("rbd")
	stored := func(name string) int64 { c, _ := p.Component("rbd", name); return c.BytesNew }
	if sum := stored("volumes/"+clone) + stored("images/"+glance); sum > 18*mebi {
		t.Errorf("parent and clone hold 16 MiB of data between them and took %d bytes", sum)
	}
	want := i.sum("volumes/" + clone)
	i.Run("restore", "image", p.ID, "volumes/"+clone, "--as", "volumes/again", "--yes")
	var info struct{ Parent *struct{ Image string } }
	if err := json.Unmarshal([]byte(i.rbd("info", "--format", "json", "volumes/again")), &info); err != nil || info.Parent == nil || info.Parent.Image != glance {
		t.Errorf("it came back as no clone: %+v, %v", info, err)
	}
	if i.sum("volumes/again") != want {
		t.Error("the clone came back differently")
	}
	for _, name := range []string{"again", clone} {
		i.rbd("snap", "purge", "--no-progress", "volumes/"+name)
		i.rbd("rm", "--no-progress", "volumes/"+name)
	}
	i.rbd("snap", "unprotect", "images/"+glance+"@snap")
	i.rbd("snap", "rm", "--no-progress", "images/"+glance+"@snap")
	i.rbd("rm", "--no-progress", "images/"+glance)
	out := i.Run("restore", "image", p.ID, "volumes/"+clone, "--dry-run")
	if !strings.Contains(out, "that is gone") {
		t.Errorf("plan without the parent: %s", out)
	}
	i.Run("restore", "image", p.ID, "volumes/"+clone, "--as", "volumes/"+clone, "--yes")
	if i.sum("volumes/"+clone) != want {
		t.Error("the clone came back differently without its parent")
	}
	i.Run("restore", "image", p.ID, "images/"+glance, "--as", "images/"+glance, "--yes")
	if snaps := i.rbd("snap", "ls", "--format", "json", "images/"+glance); !strings.Contains(snaps, `"name":"snap"`) || !strings.Contains(snaps, `"protected":"true"`) {
		t.Errorf("Glance's image came back without its snapshot: %s", snaps)
	}
	i.Fails(1, []string{"exists"}, "restore", "image", p.ID, "images/"+glance, "--as", "images/"+glance, "--yes")
	i.rbd("snap", "unprotect", "images/"+glance+"@snap")
	i.rbd("snap", "rm", "--no-progress", "images/"+glance+"@snap")
	i.rbd("rm", "--no-progress", "images/"+glance)
}
