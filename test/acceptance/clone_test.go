package acceptance

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

const glanceImage = "5d0c9f3e-64b1-4d0e-8a5e-0d7a52f3b001"

// clones are images of volumes that are clones of one of Glance's, which the vault holds.
func clones(t *testing.T) (*images, journey.Site) {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	site := journey.NewSite(t, l, nil)
	i := &images{journey.At(t, site), t, l}
	i.Init()
	img := &lab.Image{Pool: "images", Name: glanceImage, Size: 130 * mebi}
	for n := range int64(32) {
		img.Do("write", n*4*mebi, 4*mebi, n)
	}
	i.make(img.Do("snap", "snap").Do("protect", "snap"))
	return i, site
}

func (i *images) clone(name string, size int64) *lab.Image {
	c := &lab.Image{Pool: "volumes", Name: name, Size: size, Parent: []string{"images", glanceImage, "snap"}}
	return c.Do("write", 4*mebi, mebi, 100).Do("discard", 12*mebi, 4*mebi).Do("discard", 21*mebi, 64*1024).Do("write", 29*mebi, 4096, 101)
}

// tidy removes what clones and clone made.
func (i *images) tidy(names ...string) {
	for _, name := range names {
		i.rbd("snap", "purge", "--no-progress", "volumes/"+name)
		i.rbd("rm", "--no-progress", "volumes/"+name)
	}
	i.rbd("snap", "unprotect", "images/"+glanceImage+"@snap")
	i.rbd("snap", "purge", "--no-progress", "images/"+glanceImage)
	i.rbd("rm", "--no-progress", "images/"+glanceImage)
}

// sumIn tells what a point holds of an image.
func (i *images) sumIn(p point.Point, name string) string {
	i.t.Helper()
	file := filepath.Join(i.t.TempDir(), "raw")
	i.Run("restore", "image", p.ID, name, "--to", file, "--yes")
	defer os.Remove(file)
	return sumOfFile(i.t, file)
}

// TestCloneOfWhatTheVaultHolds: of a clone whose parent the vault holds only what is its own is read, in whatever way the two
// overlap, and all of one that may not be what it seems. Every one comes back to the byte.
func TestCloneOfWhatTheVaultHolds(t *testing.T) {
	i, _ := clones(t)
	i.Backup("rbd")
	want := map[string]bool{"larger": true, "same": true, "shrunk": true, "regrown": false, "flat": false, "mapless": false}
	var names []string
	for name := range want {
		size := 130 * mebi
		if name == "larger" {
			size = 200 * mebi
		}
		i.make(i.clone(name, size))
		names = append(names, name)
	}
	defer i.tidy(names...)
	i.change("larger", func(c *lab.Image) { c.Do("write", 129*mebi, 3*mebi, 102).Do("write", 170*mebi, 4096, 103) })
	for _, name := range []string{"shrunk", "regrown"} {
		i.rbd("resize", "--no-progress", "--allow-shrink", "--size", "70000001B", "volumes/"+name)
	}
	i.rbd("resize", "--no-progress", "--size", "130M", "volumes/regrown")
	i.rbd("flatten", "--no-progress", "volumes/flat")
	i.rbd("feature", "disable", "volumes/mapless", "fast-diff", "object-map")
	second := i.Backup("rbd")
	for name, shared := range want {
		c, _ := second.Component("rbd", "volumes/"+name)
		of := strings.HasPrefix(c.Reason, "no earlier copy; only what differs from images/"+glanceImage+"@snap was read")
		// Of its own it has less than 25 MiB, and the sample is 8.
		if c.State != point.Good || c.Mode != point.Full || of != shared || shared && c.BytesRead > 33*mebi || len(c.Notes) > 0 {
			t.Errorf("%s: %s %s (%s), %d MiB read, notes %q", name, c.State, c.Mode, c.Reason, c.BytesRead/mebi, c.Notes)
		}
		if c.BytesNew > 20*mebi && name != "flat" {
			t.Errorf("%s: %d MiB new", name, c.BytesNew/mebi)
		}
		if i.sumIn(second, "volumes/"+name) != i.sum("volumes/"+name) {
			t.Errorf("%s came back differently", name)
		}
	}
	i.change("larger", func(c *lab.Image) { c.Do("write", 60*mebi, 4096, 104) })
	third := i.Backup("rbd")
	if c, _ := third.Component("rbd", "volumes/larger"); c.Mode != point.Incremental || i.sumIn(third, c.Name) != i.sum("volumes/larger") {
		t.Errorf("the increment: %s (%s), or other bytes", c.Mode, c.Reason)
	}
}

// TestCloneOfWhatTheVaultLost: what was held of the parent cannot be read, so that all of the clone is.
func TestCloneOfWhatTheVaultLost(t *testing.T) {
	i, site := clones(t)
	i.Backup("rbd")
	lost := 0
	err := filepath.WalkDir(site.Vault, func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(name, filepath.Join(site.Vault, "p")) && d.Type().IsRegular() {
			lost++
			return os.Remove(name)
		}
		return err
	})
	if err != nil || lost == 0 {
		t.Fatalf("%d packs removed: %v", lost, err)
	}
	i.make(i.clone("volume-a", 130*mebi))
	defer i.tidy("volume-a")
	second := i.Backup("rbd", "--only", "volumes/*")
	c, _ := second.Component("rbd", "volumes/volume-a")
	if c.State != point.Good || c.Mode != point.Full || !strings.Contains(c.Reason, "could not be built on") || c.BytesRead < 100*mebi {
		t.Errorf("%s %s (%s), %d MiB read", c.State, c.Mode, c.Reason, c.BytesRead/mebi)
	}
	if i.sumIn(second, c.Name) != i.sum("volumes/volume-a") {
		t.Error("it came back differently")
	}
}
