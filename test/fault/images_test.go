package fault

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// TestImageThatGoesWhileItIsRead removes, in every way there is, what an export reads. Readers then get zeros and no
// error: nothing of that may count as good, and nothing of ours may be left.
func TestImageThatGoesWhileItIsRead(t *testing.T) {
	p := newPool(t)
	for name, c := range map[string]struct {
		strike func(name string)
		good   bool
	}{
		"deleted": {func(name string) {
			p.rbd("snap", "purge", "--no-progress", "volumes/"+name)
			p.rbd("rm", "--no-progress", "volumes/"+name)
		}, false},
		"unsnapped": {func(name string) { p.rbd("snap", "purge", "--no-progress", "volumes/"+name) }, false},
		"replaced": {func(name string) {
			p.rbd("snap", "purge", "--no-progress", "volumes/"+name)
			p.rbd("rm", "--no-progress", "volumes/"+name)
			p.image(name, 4)
		}, false},
		"renamed": {func(name string) { p.rbd("rename", "volumes/"+name, "volumes/"+name+"-now") }, true},
		"trashed": {func(name string) { p.rbd("trash", "mv", "volumes/"+name) }, true},
		"migrated": {func(name string) {
			p.rbd("migration", "prepare", "volumes/"+name, "volumes/"+name)
			p.rbd("migration", "execute", "--no-progress", "volumes/"+name)
			p.rbd("migration", "commit", "--no-progress", "volumes/"+name)
		}, false},
		"resized": {func(name string) {
			p.rbd("resize", "--no-progress", "--allow-shrink", "--size", "8M", "volumes/"+name)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			image := "volume-" + name
			p.image(image, 128)
			want := p.raw("volumes/" + image)
			run := p.Start("backup", "rbd", "--only", "volumes/"+image)
			frozen := run.FreezeChild(mebi, exporting(image))
			c.strike(image)
			frozen.Continue()
			r := run.Wait()
			var got point.Point
			if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
				t.Fatalf("%v: %s", err, r.Stderr)
			}
			k, _ := got.Component("rbd", "volumes/"+image)
			if c.good {
				if k.State != point.Good || p.restored(got.ID, k.Name) != want {
					t.Errorf("the copy is %s (%s), and was to be good and equal", k.State, k.Reason)
				}
			} else if k.State != point.ComponentFailed || r.Code == 0 || !strings.Contains(k.Reason, "while it was read") && !strings.Contains(k.Reason, "is not the one") {
				t.Errorf("the copy is %s (%s), exit code %d", k.State, k.Reason, r.Code)
			}
		})
	}
	last := p.Backup("rbd")
	var ours []string
	for _, s := range p.snapshots() {
		if strings.Contains(s, "@backup.holdfast-") {
			ours = append(ours, s)
		}
	}
	if len(ours) != len(last.Components) {
		t.Errorf("%d images have the snapshots %q", len(last.Components), ours)
	}
}

// TestBaseGoesWhileItIsRead removes the snapshot that an increment begins with, as a cinder-backup beside us may: what Ceph tells from
// then on is not all that changed, so all is read.
func TestBaseGoesWhileItIsRead(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 64)
	p.Backup("rbd")
	ours := p.snapshots()
	p.overwrite("volume-a", 48, 1)
	discarded := &lab.Image{Pool: "volumes", Name: "volume-a"}
	must(t, p.lab.ChangeImages(t.Context(), discarded.Do("discard", 40*mebi, 16*mebi)))
	want := p.raw("volumes/volume-a")
	run := p.Start(slowly...)
	frozen := run.FreezeChild(mebi, exporting("volume-a"))
	p.rbd("snap", "rm", "--no-progress", "volumes/"+ours[0])
	frozen.Continue()
	got := p.point(run.Wait())
	k, _ := got.Component("rbd", "volumes/volume-a")
	if k.State != point.Good || k.Mode != point.Full || !strings.Contains(k.Reason, "was removed while it was read") {
		t.Errorf("the copy is %s, %s (%s)", k.State, k.Mode, k.Reason)
	}
	if p.restored(got.ID, k.Name) != want {
		t.Error("it gives back other bytes")
	}
}

// TestBudgetOfAPool: its images are not read faster than its limit lets them, and with no more reads at once than its ops.
func TestBudgetOfAPool(t *testing.T) {
	p := newPoolOf(t, "{name: volumes, limit: 8MiB, ops: 3}")
	p.image("volume-a", 16)
	p.image("volume-b", 16)
	began := time.Now()
	run := p.Start("backup", "rbd")
	run.FreezeChild(0, func(c journey.Process) bool {
		return exporting("volume-a")(c) && strings.Contains(strings.Join(c.Args, " "), "--rbd-concurrent-management-ops 3")
	}).Continue()
	if r := run.Wait(); r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Stderr)
	}
	if took := time.Since(began); took < 32/8*time.Second-time.Second/2 {
		t.Errorf("32 MiB took %s", took)
	}
}

// TestRestoreInPlaceIsKilled: holdfast is killed while it writes what differs. The same command again, once Ceph believes that the
// writer is gone, brings the image to what the point holds, and the next copy is what the image holds.
func TestRestoreInPlaceIsKilled(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 128)
	first := p.Backup("rbd")
	want := p.raw("volumes/volume-a")
	p.overwrite("volume-a", 112, 1)
	inPlace := []string{"restore", "image", first.ID, "volumes/volume-a", "--in-place", "--yes"}
	run := p.Start(inPlace...)
	importing := run.FreezeChild(0, func(c journey.Process) bool { return c.Name() == "rbd" && c.Has("import-diff") })
	if _, killed := run.Kill(); !killed {
		t.Fatal("it had ended before")
	}
	importing.Continue()
	await(t, "the writer is gone too", func() bool { return !importing.Alive() })
	if got := p.raw("volumes/volume-a"); got == want {
		t.Fatal("nothing was left to do")
	}
	await(t, "the image has no watcher", func() bool { return !strings.Contains(p.rbd("status", "volumes/volume-a"), "watcher=") })
	p.Run(inPlace...)
	if p.raw("volumes/volume-a") != want {
		t.Error("after the last restore it holds other bytes")
	}
	next := p.Backup("rbd")
	if got := p.restored(next.ID, "volumes/volume-a"); got != want {
		t.Error("the next copy holds other bytes")
	}
}

// TestExportIsKilled: a capture whose rbd is killed fails alone, and the next one is an increment from where it was.
func TestExportIsKilled(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 64)
	p.image("volume-b", 8)
	first := p.Backup("rbd")
	p.overwrite("volume-a", 64, 1)
	p.change("volume-b", 1)
	run := p.Start(slowly...)
	run.FreezeChild(0, exporting("volume-a")).Signal(t, 9)
	r := run.Wait()
	var second point.Point
	if err := json.Unmarshal([]byte(r.Stdout), &second); err != nil || r.Code != 3 {
		t.Fatalf("exit code %d, %v: %s", r.Code, err, r.Stderr)
	}
	a, _ := second.Component("rbd", "volumes/volume-a")
	b, _ := second.Component("rbd", "volumes/volume-b")
	if a.State != point.ComponentFailed || b.State != point.Good || b.Mode != point.Incremental {
		t.Errorf("a %s (%s), b %s %s", a.State, a.Reason, b.State, b.Mode)
	}
	third := p.Backup("rbd")
	a, _ = third.Component("rbd", "volumes/volume-a")
	if a.State != point.Good || a.Mode != point.Incremental || a.Parent != first.ID {
		t.Errorf("after the kill: %s %s from %s (%s)", a.State, a.Mode, a.Parent, a.Reason)
	}
	if p.restored(third.ID, a.Name) != p.raw("volumes/volume-a") {
		t.Error("the third point gives volume-a back differently")
	}
	if got := p.snapshots(); len(got) != 2 {
		t.Errorf("snapshots: %q", got)
	}
}

// TestImagesUnderKills kills runs at random moments. Whatever the moment, the next run is good, no snapshot of ours is left
// but one for each image, and every earlier point gives back what it held.
func TestImagesUnderKills(t *testing.T) {
	k := &killing{pool: newPool(t), names: []string{"volume-a", "volume-b", "volume-c"}, dice: rand.New(rand.NewPCG(7, 7)), want: map[string][sha256.Size]byte{}}
	for _, n := range k.names {
		k.image(n, 16)
	}
	for _, phase := range []event.Kind{event.RunStarted, event.Planned, event.Started, event.Finished} {
		killed := 0
		for range moments() {
			if k.round(phase) {
				killed++
			}
		}
		t.Logf("after %s: %d of %d runs were killed", phase, killed, moments())
		if killed == 0 {
			t.Errorf("no run was killed after %s", phase)
		}
	}
	for what, data := range k.want {
		id, name, _ := strings.Cut(what, " ")
		if sha256.Sum256([]byte(k.restored(id, name))) != data {
			t.Errorf("point %s gives %s back differently", id, name)
		}
	}
}

// killing kills runs at moments that a seed makes.
type killing struct {
	*pool
	names  []string
	dice   *rand.Rand
	rounds int64
	want   map[string][sha256.Size]byte // of what every good point holds, by point and image
}

// round changes images and kills a run a moment after it came to a phase, unless it ended before. The next run must be whole
// and leave one snapshot on each image.
func (k *killing) round(phase event.Kind) (killed bool) {
	k.t.Helper()
	k.rounds++
	for i, n := range k.names {
		if k.dice.IntN(3) > 0 {
			k.change(n, k.rounds*3+int64(i))
		}
	}
	run := k.Start("backup", "rbd")
	run.Await(func(e event.Event) bool { return e.Kind == phase })
	time.Sleep(time.Duration(k.dice.IntN(400)) * time.Millisecond) // the moment is what the seed makes it
	_, killed = run.Kill()
	good := k.Backup("rbd")
	if good.State != point.Complete {
		k.t.Fatalf("round %d, after a kill at %s: %+v", k.rounds, phase, good)
	}
	if got := k.snapshots(); len(got) != len(k.names) {
		k.t.Errorf("round %d: snapshots %q", k.rounds, got)
	}
	for _, n := range k.names {
		k.want[good.ID+" volumes/"+n] = sha256.Sum256([]byte(k.raw("volumes/" + n)))
	}
	return killed
}

// TestOtherVaultsSnapshots: two vaults of one cloud leave each other's snapshots alone, and say so.
func TestOtherVaultsSnapshots(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 8)
	p.Backup("rbd")
	other := journey.At(t, journey.NewSite(t, p.lab, nil))
	other.Init()
	second := other.Backup("rbd")
	if got := p.snapshots(); len(got) != 2 {
		t.Errorf("snapshots %q", got)
	}
	if !strings.Contains(fmt.Sprint(second.Notes), "another vault") {
		t.Errorf("notes %q", second.Notes)
	}
	p.change("volume-a", 1)
	third := p.Backup("rbd")
	if a, _ := third.Component("rbd", "volumes/volume-a"); a.Mode != point.Incremental {
		t.Errorf("mode %s: %s", a.Mode, a.Reason)
	}
	if got := p.snapshots(); len(got) != 2 {
		t.Errorf("snapshots %q", got)
	}
}

// TestImageThatCannotBeOpened: an image that lost the source of its migration makes the listing of its whole pool fail. The
// others are captured all the same, and this one is told.
func TestImageThatCannotBeOpened(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 8)
	p.Backup("rbd")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "raw", time.Time{}, bytes.NewReader(make([]byte, 4*mebi)))
	}))
	spec := fmt.Sprintf(`{"type":"raw","stream":{"type":"http","url":"%s/raw"}}`, server.URL)
	p.rbd("migration", "prepare", "--import-only", "--source-spec", spec, "volumes/volume-b")
	server.Close()
	p.change("volume-a", 1)
	r := p.Try("backup", "rbd", "--json")
	var got point.Point
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || r.Code != 3 {
		t.Fatalf("exit code %d, %v: %s", r.Code, err, r.Stderr)
	}
	a, _ := got.Component("rbd", "volumes/volume-a")
	b, _ := got.Component("rbd", "volumes/volume-b")
	if a.State != point.Good || a.Mode != point.Incremental || b.State != point.Skipped || !strings.Contains(b.Reason, "cannot be opened") {
		t.Errorf("a %s %s (%s), b %s (%s)", a.State, a.Mode, a.Reason, b.State, b.Reason)
	}
	p.rbd("migration", "abort", "--no-progress", "volumes/volume-b")
}

// TestRemovalThatWasCutShort kills rbd rm in the middle. Ceph goes on naming such an image, nobody can open it, and the listing of its
// whole pool fails as if there were no such pool. The others are captured all the same, and who removed the wrong image gets it back:
// then Ceph has two of the name.
func TestRemovalThatWasCutShort(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 8)
	p.rbd("create", "--object-size", "16K", "--size", "32M", "volumes/volume-b")
	p.rbd("bench", "--io-type", "write", "--io-size", "16K", "--io-total", "32M", "volumes/volume-b")
	want := p.raw("volumes/volume-b")
	first := p.Backup("rbd")
	removed, _ := first.Component("rbd", "volumes/volume-b")
	p.cutRemoval("volume-b")
	for _, b := range []point.ComponentState{"", point.Good} {
		p.change("volume-a", 1)
		got := p.Backup("rbd")
		a, _ := got.Component("rbd", "volumes/volume-a")
		if a.State != point.Good || a.Mode != point.Incremental {
			t.Errorf("volume-a: %s %s (%s)", a.State, a.Mode, a.Reason)
		}
		if c, _ := got.Component("rbd", "volumes/volume-b"); c.State != b {
			t.Errorf("volume-b: %q (%s), not %q", c.State, c.Reason, b)
		}
		if b == "" {
			p.Run("restore", "image", first.ID, "volumes/volume-b", "--as", "volumes/volume-b", "--yes")
		}
	}
	if named := strings.Count(p.rbd("ls", "volumes"), "volume-b"); named != 2 || p.raw("volumes/volume-b") != want {
		t.Errorf("rbd names volume-b %d times, not twice, or it is not what it was", named)
	}
	await(t, "the old image is removed by its id, which who was killed holds open for half a minute", func() bool {
		_, err := p.lab.Rbd(t.Context(), "trash", "rm", "--no-progress", fmt.Sprintf("volumes/%s", removed.Identity["image_id"]))
		return err == nil
	})
	if named := strings.Count(p.rbd("ls", "volumes"), "volume-b"); named != 1 || p.raw("volumes/volume-b") != want {
		t.Errorf("rbd names volume-b %d times, not once, or it is not what it was", named)
	}
}

// cutRemoval begins to remove an image, and kills rbd when nobody can open it any more.
func (p *pool) cutRemoval(name string) {
	p.t.Helper()
	p.rbd("snap", "purge", "--no-progress", "volumes/"+name)
	removal := exec.Command("rbd", "-c", p.lab.Ceph.Conf, "rm", "--no-progress", "--rbd-concurrent-management-ops", "1", "volumes/"+name)
	if err := removal.Start(); err != nil {
		p.t.Fatal(err)
	}
	defer removal.Process.Kill() // when the wait is in vain
	await(p.t, name+" cannot be opened", func() bool {
		_, err := p.lab.Rbd(p.t.Context(), "info", "volumes/"+name)
		return err != nil
	})
	if err := errors.Join(removal.Process.Kill(), removal.Wait()); err == nil || !strings.Contains(err.Error(), "killed") {
		p.t.Fatalf("rbd rm was not killed: %v", err)
	}
}

// TestMigrationInTheCluster backs an image up while rbd moves it to another pool, which a client may use all the while: prepared, copied
// and committed. It is another image from the start, every point gives back what was in it, and the snapshot that came with it, without
// which Ceph could not move it to its end, stays until that is done.
func TestMigrationInTheCluster(t *testing.T) {
	p := newPoolOf(t, "volumes, vms")
	p.image("volume-a", 32)
	first := p.Backup("rbd")
	want := map[string]string{first.ID + " volumes/volume-a": p.raw("volumes/volume-a")}
	moved := &lab.Image{Pool: "vms", Name: "volume-a"}
	p.rbd("migration", "prepare", "volumes/volume-a", "vms/volume-a")
	for n, step := range []struct {
		command   string
		mode      point.Mode
		snapshots int
	}{{"execute", point.Full, 2}, {"commit", point.Incremental, 2}, {"", point.Incremental, 1}} {
		must(t, p.lab.ChangeImages(t.Context(), moved.Do("write", int64(n)*7*mebi, mebi, int64(n))))
		r := p.Try("backup", "rbd", "--json")
		got := p.point(r)
		c, ok := got.Component("rbd", "vms/volume-a")
		if !ok || c.State != point.Good || c.Mode != step.mode {
			t.Fatalf("before %q: %+v", step.command, got.Components)
		}
		if told := strings.Contains(r.Stderr, "rbd migration moves the image"); told != (step.snapshots > 1) {
			t.Errorf("before %q: %s", step.command, r.Stderr)
		}
		if have := strings.Fields(p.rbd("snap", "ls", "--format", "json", "vms/volume-a")); strings.Count(strings.Join(have, ""), `"name"`) != step.snapshots {
			t.Errorf("before %q: snapshots %s", step.command, have)
		}
		want[got.ID+" vms/volume-a"] = p.raw("vms/volume-a")
		if step.command != "" {
			p.rbd("migration", step.command, "--no-progress", "vms/volume-a")
		}
	}
	for at, bytes := range want {
		id, name, _ := strings.Cut(at, " ")
		if p.restored(id, name) != bytes {
			t.Errorf("point %s gives %s back differently", id, name)
		}
	}
	p.rbd("snap", "purge", "--no-progress", "vms/volume-a")
	p.rbd("rm", "--no-progress", "vms/volume-a")
}

// TestEmptyPools: a point that holds nothing is no success, and says why.
func TestEmptyPools(t *testing.T) {
	p := newPool(t)
	p.Fails(1, []string{"there was nothing to capture"}, "backup", "rbd")
}

// TestObjectMapThatLies writes behind the back of an image's object map. Increments cannot know; the comparison finds it,
// takes what is there, and says so.
func TestObjectMapThatLies(t *testing.T) {
	p := newPool(t, "  distrust: 1\n")
	p.image("volume-a", 32)
	p.Backup("rbd")
	p.change("volume-a", 1)
	if c, _ := p.Backup("rbd").Component("rbd", "volumes/volume-a"); c.Mode != point.Incremental {
		t.Fatalf("second: %+v", c)
	}
	var info struct {
		Prefix string `json:"block_name_prefix"`
	}
	if err := json.Unmarshal([]byte(p.rbd("info", "--format", "json", "volumes/volume-a")), &info); err != nil {
		t.Fatal(err)
	}
	secretly := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(secretly, bytes.Repeat([]byte("behind its back "), 4<<20/16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.lab.Run(t.Context(), "sto1", "rados", "-c", p.lab.Ceph.Conf, "-p", "volumes", "put", info.Prefix+".0000000000000005", secretly); err != nil {
		t.Fatal(err)
	}
	p.change("volume-a", 2)
	third := p.Backup("rbd")
	c, _ := third.Component("rbd", "volumes/volume-a")
	if c.Mode != point.Full || !strings.Contains(strings.Join(c.Notes, " "), "the first at byte 20971520, where Ceph says that nothing changed") {
		t.Errorf("third: %s (%s), notes %q", c.Mode, c.Reason, c.Notes)
	}
	if p.restored(third.ID, c.Name) != p.raw("volumes/volume-a") {
		t.Error("the third point gives volume-a back differently")
	}
	if c, _ := p.Backup("rbd").Component("rbd", "volumes/volume-a"); c.Mode != point.Unchanged || len(c.Notes) > 0 {
		t.Errorf("fourth: %s (%s), notes %q", c.Mode, c.Reason, c.Notes)
	}
}

// TestEarlierCopyIsLost: an increment that cannot read what it lies over becomes a full copy, which needs nothing earlier.
func TestEarlierCopyIsLost(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	site := journey.NewSite(t, l, nil)
	p := &pool{journey.At(t, site), t, l}
	p.Init()
	t.Cleanup(p.empty)
	p.image("volume-a", 16)
	first := p.Backup("rbd")
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
	p.change("volume-a", 1)
	second := p.Backup("rbd")
	a, _ := second.Component("rbd", "volumes/volume-a")
	if a.State != point.Good || a.Mode != point.Full || a.Parent != "" || !strings.Contains(a.Reason, first.ID) {
		t.Errorf("%s %s from %q (%s)", a.State, a.Mode, a.Parent, a.Reason)
	}
	if p.restored(second.ID, a.Name) != p.raw("volumes/volume-a") {
		t.Error("it gives volume-a back differently")
	}
}
