package fault

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/test/journey"
)

const mebi = int64(1) << 20

// pool is a Ceph cluster of the tests of this file, with an operator whose vault is new.
type pool struct {
	*journey.Operator
	t   *testing.T
	lab *lab.Lab
}

// newPool makes one, with more lines of rbd in its configuration.
func newPool(t *testing.T, lines ...string) *pool {
	t.Helper()
	return newPoolOf(t, "volumes, images", lines...)
}

// newPoolOf is newPool with what the configuration says of its pools.
func newPoolOf(t *testing.T, pools string, lines ...string) *pool {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	edit := func(config string) string {
		return strings.Replace(config, "[volumes, images]", "["+pools+"]", 1) + strings.Join(lines, "")
	}
	p := &pool{journey.At(t, journey.NewSite(t, l, edit)), t, l}
	p.Init()
	t.Cleanup(p.empty)
	return p
}

// empty takes everything out of the pool again.
func (p *pool) empty() {
	for _, name := range strings.Fields(p.rbd("ls", "volumes")) {
		p.rbd("snap", "purge", "--no-progress", "volumes/"+name)
		p.remove(name)
	}
	for _, line := range strings.Split(strings.TrimSpace(p.rbd("trash", "ls", "--all", "volumes")), "\n") {
		if id, _, ok := strings.Cut(line, " "); ok {
			p.rbd("snap", "purge", "--no-progress", "--pool", "volumes", "--image-id", id)
			p.rbd("trash", "rm", "--no-progress", "volumes/"+id)
		}
	}
}

// remove removes an image without snapshots.
func (p *pool) remove(name string) {
	await(p.t, name+" is removed, which who was killed holds open for half a minute", func() bool {
		_, err := p.lab.Rbd(context.WithoutCancel(p.t.Context()), "rm", "--no-progress", "volumes/"+name)
		return err == nil
	})
}

func (p *pool) rbd(args ...string) string {
	p.t.Helper()
	// Also what the test's end calls is bounded, and not by the test's own context, which is over then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), time.Minute)
	defer cancel()
	out, err := p.lab.Rbd(ctx, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// image makes an image of that many MiB, all of it written.
func (p *pool) image(name string, mib int64) {
	p.t.Helper()
	if err := p.lab.MakeImages(p.t.Context(), filled(name, mib, mib)); err != nil {
		p.t.Fatal(err)
	}
}

func filled(name string, mib, seed int64) *lab.Image {
	i := &lab.Image{Pool: "volumes", Name: name, Size: mib * mebi}
	for n := range mib / 4 {
		i.Do("write", n*4*mebi, 4*mebi, n+seed)
	}
	return i
}

// overwrite writes all of an image anew, so that its export lasts.
func (p *pool) overwrite(name string, mib, seed int64) {
	p.t.Helper()
	if err := p.lab.ChangeImages(p.t.Context(), filled(name, mib, 1000+seed)); err != nil {
		p.t.Fatal(err)
	}
}

// slowly has a run read so little in a second that an export is met whatever else the machine does.
var slowly = []string{"backup", "rbd", "--limit", "16MiB"}

// change writes a little, at a place that n chooses.
func (p *pool) change(name string, n int64) {
	p.t.Helper()
	i := &lab.Image{Pool: "volumes", Name: name}
	i.Do("write", n%4*mebi, 64<<10, n)
	if err := p.lab.ChangeImages(p.t.Context(), i); err != nil {
		p.t.Fatal(err)
	}
}

// snapshots lists all snapshots of images that have a name and of those in the trash, as IMAGE@SNAPSHOT.
func (p *pool) snapshots() (all []string) {
	p.t.Helper()
	var lines []struct{ Image, Snapshot string }
	if err := json.Unmarshal([]byte(p.rbd("ls", "--long", "--format", "json", "volumes")), &lines); err != nil {
		p.t.Fatal(err)
	}
	for _, l := range lines {
		if l.Snapshot != "" {
			all = append(all, l.Image+"@"+l.Snapshot)
		}
	}
	var trash []struct{ ID string }
	if err := json.Unmarshal([]byte(p.rbd("trash", "ls", "--all", "--format", "json", "volumes")), &trash); err != nil {
		p.t.Fatal(err)
	}
	for _, i := range trash {
		var snaps []struct{ Name string }
		if err := json.Unmarshal([]byte(p.rbd("snap", "ls", "--pool", "volumes", "--image-id", i.ID, "--format", "json")), &snaps); err != nil {
			p.t.Fatal(err)
		}
		for _, s := range snaps {
			all = append(all, i.ID+"@"+s.Name)
		}
	}
	return all
}

// raw is what an image, or a snapshot of it, holds.
func (p *pool) raw(spec string) string {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "raw")
	p.rbd("export", "--no-progress", spec, file)
	return p.read(file)
}

func (p *pool) read(file string) string {
	p.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

// restored is what a point gives back.
func (p *pool) restored(point, name string) string {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "restored")
	p.Run("restore", "image", point, name, "--to", file, "--yes")
	return p.read(file)
}

// exporting is the process that reads the image.
func exporting(name string) func(journey.Process) bool {
	return func(p journey.Process) bool {
		return p.Name() == "rbd" && p.Has("export-diff") && slices.ContainsFunc(p.Args, func(a string) bool { return strings.Contains(a, name+"@") })
	}
}
