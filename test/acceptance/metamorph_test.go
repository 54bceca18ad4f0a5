package acceptance

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source/rbd"
	"holdfast/test/journey"
)

// TestImagesAtRandom does to images what clouds do to them, at random and again and again, and backs up in between. Every
// point must give every image back as rbd itself read it at the point's snapshot.
func TestImagesAtRandom(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	op := journey.At(t, journey.NewSite(t, l, func(config string) string { return config + "  distrust: 3\n" }))
	op.Init()
	w := &wildlife{t: t, l: l, dice: rand.New(rand.NewPCG(1, seedOf(t))), want: map[string]string{}}
	for range 4 {
		w.create()
	}
	w.glance()
	for round := range 8 {
		for range 6 {
			w.step()
		}
		if round%3 == 1 {
			w.boot()
		}
		p := op.Backup("rbd")
		if p.State != point.Complete {
			t.Fatalf("round %d: %+v", round, p)
		}
		w.remember(p)
		for _, c := range p.Components {
			if len(c.Notes) > 0 {
				t.Errorf("round %d: %s: %q", round, c.Name, c.Notes)
			}
		}
	}
	if len(w.modes) != 3 || w.shared == 0 {
		t.Errorf("captured only in modes %v, %d of the clones over their parents", w.modes, w.shared)
	}
	for what, want := range w.want {
		id, name, _ := strings.Cut(what, " ")
		file := filepath.Join(t.TempDir(), "image.raw")
		op.Run("restore", "image", id, name, "--to", file, "--yes")
		if got := sumOfFile(t, file); got != want {
			t.Errorf("point %s gives %s back differently", id, name)
		}
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
}

// seedOf takes HOLDFAST_SEED, to repeat a run or to make others.
func seedOf(t *testing.T) uint64 {
	seed := uint64(1)
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HOLDFAST_SEED=%d", seed)
	return seed
}

// wildlife is a pool of images that live.
type wildlife struct {
	t     *testing.T
	l     *lab.Lab
	dice  *rand.Rand
	born  int
	live  []string // names, in pool volumes
	size  map[string]int64
	want  map[string]string // sums, by point and component
	modes []point.Mode

	shared int // first copies of clones that were laid over their parents
}

const mebi = int64(1) << 20

func (w *wildlife) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *wildlife) rbd(args ...string) {
	w.t.Helper()
	_, err := w.l.Rbd(w.t.Context(), args...)
	w.must(err)
}

func (w *wildlife) newName() string {
	w.born++
	return fmt.Sprintf("volume-%d", w.born)
}

func (w *wildlife) add(name string, size int64) {
	if w.size == nil {
		w.size = map[string]int64{}
	}
	w.live, w.size[name] = append(w.live, name), size
}

func (w *wildlife) any() string { return w.live[w.dice.IntN(len(w.live))] }

// create makes an image whose size need be no multiple of anything.
func (w *wildlife) create() {
	size := (4+w.dice.Int64N(20))*mebi + w.dice.Int64N(3)*1536
	i := &lab.Image{Pool: "volumes", Name: w.newName(), Size: size}
	w.writes(i, size)
	w.must(w.l.MakeImages(w.t.Context(), i))
	w.add(i.Name, size)
}

func (w *wildlife) writes(i *lab.Image, size int64) {
	for range 1 + w.dice.IntN(4) {
		length := min(size, []int64{512, 4096, 100_000, mebi, 5 * mebi}[w.dice.IntN(5)])
		i.Do("write", w.dice.Int64N(size-length+1), length, w.dice.Int64N(1<<30))
	}
}

// step does one thing to one image.
func (w *wildlife) step() {
	name := w.any()
	i := &lab.Image{Pool: "volumes", Name: name}
	size := w.size[name]
	switch w.dice.IntN(11) {
	case 0, 1, 2, 3:
		w.writes(i, size)
	case 4:
		length := min(size, []int64{64 << 10, mebi, 8 * mebi}[w.dice.IntN(3)])
		i.Do("discard", w.dice.Int64N(size-length+1), length)
	case 5: // smaller, then written again beyond
		i.Do("resize", max(size/2, mebi)).Do("resize", size)
		w.writes(i, size)
	case 6:
		w.size[name] = max(mebi, size+(w.dice.Int64N(16)-8)*mebi)
		i.Do("resize", w.size[name])
	case 7:
		i.Do("snap", "user-"+w.newName())
	case 8:
		w.clone(name)
	case 9:
		w.recreate(name)
	case 10:
		w.trash(name)
	}
	if len(i.Actions) > 0 {
		w.must(w.l.ChangeImages(w.t.Context(), i))
	}
}

func (w *wildlife) clone(name string) {
	snap, child := "volumes/"+name+"@for-"+w.newName(), w.newName()
	w.rbd("snap", "create", "--no-progress", snap)
	w.rbd("snap", "protect", snap)
	w.rbd("clone", snap, "volumes/"+child)
	w.add(child, w.size[name])
	i := &lab.Image{Pool: "volumes", Name: child}
	w.writes(i, w.size[child])
	i.Do("discard", 0, mebi)
	if w.dice.IntN(2) == 0 {
		i.Do("flatten")
	}
	w.must(w.l.ChangeImages(w.t.Context(), i))
}

// What boot makes volumes of, with holes and a size that is no multiple of anything.
const (
	bootImage = "7c1de1a4-98a3-4e0c-bb52-6a1f3c9b7001"
	bootSize  = 21*mebi + 1536
)

// glance makes an image as Glance does.
func (w *wildlife) glance() {
	i := &lab.Image{Pool: "images", Name: bootImage, Size: bootSize}
	i.Do("write", 0, 9*mebi, 1).Do("write", 13*mebi+5, mebi, 2).Do("write", 20*mebi, bootSize-20*mebi, 3).Do("snap", "snap").Do("protect", "snap")
	w.must(w.l.MakeImages(w.t.Context(), i))
}

// boot makes a volume of Glance's image and changes it in ways of its own.
func (w *wildlife) boot() {
	child := w.newName()
	w.rbd("clone", "images/"+bootImage+"@snap", "volumes/"+child)
	i, size := &lab.Image{Pool: "volumes", Name: child}, int64(bootSize)
	if w.dice.IntN(2) == 0 {
		size += (w.dice.Int64N(24) - 12) * mebi
		i.Do("resize", size)
	}
	w.writes(i, size)
	for range 3 {
		length := min(size, []int64{4096, 300_000, mebi, 4 * mebi, 9 * mebi}[w.dice.IntN(5)])
		i.Do("discard", w.dice.Int64N((size-length)/4096+1)*4096, length)
	}
	w.writes(i, size)
	w.must(w.l.ChangeImages(w.t.Context(), i))
	w.add(child, size)
}

// recreate gives another image the name, when nothing hangs on the first.
func (w *wildlife) recreate(name string) {
	if _, err := w.l.Rbd(w.t.Context(), "snap", "purge", "--no-progress", "volumes/"+name); err != nil {
		return
	}
	if _, err := w.l.Rbd(w.t.Context(), "rm", "--no-progress", "volumes/"+name); err != nil {
		return
	}
	i := &lab.Image{Pool: "volumes", Name: name, Size: 6 * mebi}
	w.writes(i, i.Size)
	w.must(w.l.MakeImages(w.t.Context(), i))
	w.size[name] = i.Size
}

// trash throws an image away, and half of the time takes it out again.
func (w *wildlife) trash(name string) {
	if len(w.live) < 3 {
		return
	}
	out, err := w.l.Rbd(w.t.Context(), "info", "--format", "json", "volumes/"+name)
	w.must(err)
	id := between(out, `"id":"`, `"`)
	w.rbd("trash", "mv", "volumes/"+name)
	if w.dice.IntN(2) == 0 {
		w.rbd("trash", "restore", "--pool", "volumes", "--image-id", id)
		return
	}
	w.live = slices.DeleteFunc(w.live, func(n string) bool { return n == name })
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// remember sums what rbd itself reads at each snapshot of the point.
func (w *wildlife) remember(p point.Point) {
	if len(p.Components) != len(w.live)+1 {
		w.t.Errorf("point %s holds %d images of %d", p.ID, len(p.Components), len(w.live)+1)
	}
	for _, c := range p.Components {
		id, err := rbd.IdentityOf(c)
		w.must(err)
		if !slices.Contains(w.modes, c.Mode) {
			w.modes = append(w.modes, c.Mode)
		}
		if n, _ := c.Proof["shared_bytes"].(float64); n > 0 && c.Mode == point.Full {
			w.shared++
		}
		cmd := exec.CommandContext(w.t.Context(), "rbd", "-c", w.l.Ceph.Conf, "export", "--no-progress", id.Pool+"/"+id.Image+"@"+id.Snapshot, "-")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		w.must(err)
		w.must(cmd.Start())
		h := sha256.New()
		_, err = io.Copy(h, out)
		if err = errors.Join(err, cmd.Wait()); err != nil {
			w.t.Fatalf("export %s: %v: %s", c.Name, err, stderr.String())
		}
		w.want[p.ID+" "+c.Name] = fmt.Sprintf("%x", h.Sum(nil))
	}
}

func sumOfFile(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
