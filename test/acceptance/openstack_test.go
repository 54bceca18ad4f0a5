package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/event"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/openstack"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// cloudScene is a cloud whose volumes and images its own services make and delete, and who backs it up.
type cloudScene struct {
	t     *testing.T
	lab   *lab.Lab
	cloud *openstack.Cloud
	op    *journey.Operator
}

// onCloud begins with empty pools and a new vault. At the end nothing may be left in the pools.
func onCloud(t *testing.T) cloudScene {
	t.Helper()
	l := labtest.Shared(t, labtest.OpenStack, labtest.EmptyCeph)
	cloud, err := l.Cloud(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := cloudScene{t, l, cloud, journey.At(t, journey.NewSite(t, l, nil))}
	s.op.Init()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the services say:", l.OpenStackErrors())
		}
	})
	return s
}

// volume has Cinder make a volume, and writes some MiB into it as its server would.
func (s cloudScene) volume(name string, mib int64) string {
	s.t.Helper()
	v, err := s.cloud.Create(s.t.Context(), openstack.NewVolume{Name: name, GiB: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("volume-"+v.ID, 0, mib, 1)
	return v.ID
}

// write changes a volume's content.
func (s cloudScene) write(image string, at, mib int64, seed int) {
	s.t.Helper()
	change := &lab.Image{Pool: "volumes", Name: image}
	if err := s.lab.ChangeImages(s.t.Context(), change.Do("write", at<<20, mib<<20, seed)); err != nil {
		s.t.Fatal(err)
	}
}

// remove has a service delete something and waits until it says that it is gone.
func (s cloudScene) remove(k openstack.Kind, id string) {
	s.t.Helper()
	if err := s.cloud.Remove(s.t.Context(), k, id); err != nil {
		s.t.Fatal(err)
	}
}

// left fails the test unless a pool holds just these images, and its trash nothing.
func (s cloudScene) left(pool string, want ...string) {
	s.t.Helper()
	var got, trash []string
	for _, i := range s.rbd("ls", pool) {
		got = append(got, i.(string))
	}
	for _, i := range s.rbd("trash", "ls", "--all", pool) {
		trash = append(trash, i.(map[string]any)["name"].(string))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(trash) > 0 {
		s.t.Errorf("pool %s, with %q in its trash (-want +got):\n%s", pool, trash, diff)
	}
}

// snapshots are the names of an image's snapshots.
func (s cloudScene) snapshots(image string) (names []string) {
	s.t.Helper()
	for _, i := range s.rbd("snap", "ls", "--all", image) {
		names = append(names, i.(map[string]any)["name"].(string))
	}
	return names
}

// rbd decodes the list that a command of rbd prints.
func (s cloudScene) rbd(args ...string) (list []any) {
	s.t.Helper()
	out, err := s.lab.Rbd(s.t.Context(), append([]string{"--format", "json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// sum is the checksum of what an image of the cluster holds.
func (s cloudScene) sum(image string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "rbd", "-c", s.lab.Ceph.Conf, "export", "--no-progress", image, "-")
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		s.t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(h, out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		s.t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// restored is the checksum of an image as it comes back from a point.
func (s cloudScene) restored(p, image string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "image.raw")
	s.op.Run("restore", "image", p, image, "--to", file, "--yes")
	f, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		s.t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// during starts a backup, stops the reader of an image in the middle, does something, and lets the backup end.
func (s cloudScene) during(image string, do func()) (journey.Result, point.Point) {
	s.t.Helper()
	run := s.op.Start("backup", "rbd")
	reader := s.freeze(run, image)
	do()
	reader.Continue()
	r := run.Wait()
	var p point.Point
	if err := json.Unmarshal([]byte(r.Stdout), &p); err != nil {
		s.t.Fatalf("the backup ended with %d and told of no point: %v\n%s", r.Code, err, r.Stderr)
	}
	return r, p
}

// freeze stops the process that reads an image as soon as it has passed some of it on. What it has asked for by then, a
// few dozen MiB, it has read.
func (s cloudScene) freeze(run *journey.Run, image string) journey.Process {
	s.t.Helper()
	run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == image })
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range journey.Descendants(run.PID()) {
			if p.Name() != "rbd" || !p.Has("export-diff") || !strings.Contains(strings.Join(p.Args, " "), image+"@") {
				continue
			}
			if p.Written() >= 1<<20 {
				p.Signal(s.t, syscall.SIGSTOP)
				s.t.Cleanup(p.Continue)
				return p
			}
		}
		select {
		case <-run.Ended():
			s.t.Fatalf("the backup ended before %s was read: %s", image, run.Wait().Stderr)
		case <-tick.C:
		}
	}
}

// lost fails the test unless the backup was partial: one image was deleted while it was read, and the others are good.
func (s cloudScene) lost(r journey.Result, p point.Point, image string) {
	s.t.Helper()
	if r.Code != 3 || p.State != point.Partial {
		s.t.Errorf("the backup ended with %d, the point is %s", r.Code, p.State)
	}
	for _, c := range p.Components {
		switch {
		case c.Name == image && (c.State != point.ComponentFailed || !strings.Contains(c.Reason, "while it was read")):
			s.t.Errorf("%s was deleted while it was read, and is %s: %s", image, c.State, c.Reason)
		case c.Name != image && c.State != point.Good:
			s.t.Errorf("%s is %s: %s", c.Name, c.State, c.Reason)
		}
	}
}

// TestVolumeDeletedInCinder deletes volumes before, during and after a backup.
func TestVolumeDeletedInCinder(t *testing.T) {
	s := onCloud(t)
	kept, early, late := s.volume("kept", 8), s.volume("early", 128), s.volume("late", 128)
	s.remove(openstack.Volume, s.volume("before", 4))
	r, p := s.during("volumes/volume-"+early, func() { s.remove(openstack.Volume, early) })
	s.lost(r, p, "volumes/volume-"+early)
	s.left("volumes", "volume-"+kept, "volume-"+late)

	image := "volumes/volume-" + late
	whole := s.sum(image)
	s.write("volume-"+late, 0, 96, 2)
	r, second := s.during(image, func() { s.remove(openstack.Volume, late) })
	s.lost(r, second, image)
	if got := s.restored(p.ID, image); got != whole {
		t.Errorf("the point before the deletion gives back %s, and was %s", got, whole)
	}
	s.left("volumes", "volume-"+kept)

	if got := s.snapshots("volumes/volume-" + kept); len(got) != 1 {
		t.Errorf("the volume that stays has the snapshots %q", got)
	}
	if last := s.op.Backup("rbd"); len(last.Components) != 1 {
		t.Errorf("with one volume left the point is %+v", last)
	}
	s.remove(openstack.Volume, kept) // after the runs
	s.left("volumes")
}

// TestCloneSourceDeletedInCinder deletes a volume that another is a clone of. Cinder keeps its image until the clone is
// gone too, and removes it then only if nobody made a snapshot of it meanwhile.
func TestCloneSourceDeletedInCinder(t *testing.T) {
	s := onCloud(t)
	source := s.volume("source", 8)
	s.op.Backup("rbd")
	clone, err := s.cloud.Create(t.Context(), openstack.NewVolume{Name: "clone", GiB: 1, Volume: source})
	if err != nil {
		t.Fatal(err)
	}
	s.remove(openstack.Volume, source)
	s.left("volumes", "volume-"+clone.ID, "volume-"+source+".deleted")
	p := s.op.Backup("rbd")
	if c, ok := p.Component("rbd", "volumes/volume-"+clone.ID); !ok || c.State != point.Good {
		t.Errorf("the clone is %+v", c)
	}
	if got := s.snapshots("volumes/volume-" + source + ".deleted"); !slices.Equal(got, []string{"volume-" + clone.ID + ".clone_snap"}) {
		t.Errorf("what Cinder keeps of the source has the snapshots %q", got)
	}
	s.remove(openstack.Volume, clone.ID)
	s.left("volumes")
}

// TestImageDeletedInGlance deletes images during and after a backup: Glance must never find a snapshot that is not its own.
func TestImageDeletedInGlance(t *testing.T) {
	s := onCloud(t)
	upload := func(name string, mib int64) string {
		image, err := s.cloud.Upload(t.Context(), name, openstack.Content(mib<<20, uint64(mib)))
		if err != nil {
			t.Fatal(err)
		}
		return image.ID
	}
	before, during, after := upload("before", 8), upload("during", 128), upload("after", 8)
	s.remove(openstack.Image, before)
	r, p := s.during("images/"+during, func() {
		for _, id := range []string{during, after} {
			if got := s.snapshots("images/" + id); !slices.Equal(got, []string{"snap"}) {
				t.Errorf("image %s has the snapshots %q", id, got)
			}
		}
		s.remove(openstack.Image, during)
	})
	s.lost(r, p, "images/"+during)
	s.left("images", after)
	whole := s.sum("images/" + after)
	s.remove(openstack.Image, after)
	s.left("images")
	if got := s.restored(p.ID, "images/"+after); got != whole {
		t.Errorf("the deleted image comes back as %s, and was %s", got, whole)
	}
}

// TestServerDeletedByNova deletes a server after a backup of a cloud whose pool vms nobody asked for.
func TestServerDeletedByNova(t *testing.T) {
	s := onCloud(t)
	image, err := s.cloud.Upload(t.Context(), "boot", openstack.Content(4<<20, 3))
	if err != nil {
		t.Fatal(err)
	}
	const server = "6f1c2f0e-52c9-4a26-9d0c-3a3c0a5f7d11"
	disk := &lab.Image{Pool: "vms", Name: server + "_disk", Size: 1 << 30, Parent: []string{"images", image.ID, "snap"}}
	drive := &lab.Image{Pool: "vms", Name: server + "_disk.config", Size: 1 << 20}
	if err := s.lab.MakeImages(t.Context(), disk.Do("write", 1<<20, 1<<20, 1), drive.Do("write", 0, 4096, 2)); err != nil {
		t.Fatal(err)
	}
	if p := s.op.Backup("rbd"); len(p.Components) != 1 {
		t.Errorf("more than the image was captured: %+v", p.Components)
	}
	if kept := s.novaDeletes(server); len(kept) > 0 {
		t.Errorf("Nova could not remove %q", kept)
	}
	s.left("vms")
	s.remove(openstack.Image, image.ID)
	s.left("images")
}

// novaDeletes does what Nova does with the disks of a server that is deleted: every image in vms whose name begins with
// the server's id loses the snapshot of a resize and is removed. What cannot be removed stays, and nobody is told; here it
// is returned.
func (s cloudScene) novaDeletes(server string) (kept []string) {
	s.t.Helper()
	for _, i := range s.rbd("ls", "vms") {
		name := i.(string)
		if !strings.HasPrefix(name, server) {
			continue
		}
		if slices.Contains(s.snapshots("vms/"+name), "nova-resize") {
			if _, err := s.lab.Rbd(s.t.Context(), "snap", "rm", "--no-progress", "vms/"+name+"@nova-resize"); err != nil {
				s.t.Log("Nova logs:", err)
			}
		}
		if _, err := s.lab.Rbd(s.t.Context(), "rm", "--no-progress", "vms/"+name); err != nil {
			kept = append(kept, name)
		}
	}
	return kept
}

// TestCinderBackupBeside lets Cinder make backups of its own of a volume between ours. Each goes on with its own
// snapshots, and both bring back what was.
func TestCinderBackupBeside(t *testing.T) {
	s := onCloud(t)
	id := s.volume("both", 16)
	image := "volumes/volume-" + id
	sums := map[string]string{}
	var backups []openstack.Item
	for round, mode := range []point.Mode{point.Full, point.Incremental, point.Incremental} {
		p := s.op.Backup("rbd")
		c, _ := p.Component("rbd", image)
		if c.Mode != mode || c.State != point.Good {
			t.Errorf("round %d: our copy is %s, %s: %s", round, c.Mode, c.State, c.Reason)
		}
		b, err := s.cloud.BackUp(t.Context(), id, "theirs", round > 0)
		if err != nil {
			t.Fatal(err)
		}
		backups = append(backups, b)
		sums[p.ID] = s.sum(image)
		s.write("volume-"+id, int64(4*round), 4, 10+round)
	}
	ours := slices.DeleteFunc(s.snapshots(image), func(n string) bool { return !strings.HasPrefix(n, "backup.holdfast-") })
	if all := s.snapshots(image); len(ours) != 1 || len(all) != 1+len(backups) {
		t.Errorf("the volume has the snapshots %q", all)
	}
	for p, want := range sums {
		if got := s.restored(p, image); got != want {
			t.Errorf("point %s gives back %s, and was %s", p, got, want)
		}
	}
	s.theirs(backups, sums)
	s.remove(openstack.Volume, id)
	s.left("volumes")
	s.left("backups")
}

// theirs has Cinder bring its newest backup back, which is as our newest point, and then removes its backups.
func (s cloudScene) theirs(backups []openstack.Item, sums map[string]string) {
	s.t.Helper()
	newest := backups[len(backups)-1].ID
	v, err := s.cloud.Create(s.t.Context(), openstack.NewVolume{Name: "back", GiB: 1, Backup: newest})
	if err != nil {
		s.t.Fatal(err)
	}
	ids := s.op.Points()
	slices.Sort(ids)
	if got, want := s.sum("volumes/volume-"+v.ID), sums[ids[len(ids)-1]]; got != want {
		s.t.Errorf("Cinder's backup gives back %s, and the volume was %s", got, want)
	}
	s.remove(openstack.Volume, v.ID)
	for _, b := range slices.Backward(backups) {
		s.remove(openstack.Backup, b.ID)
	}
}
