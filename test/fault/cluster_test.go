package fault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// point decodes what a run made, whatever state it ended in.
func (p *pool) point(r journey.Result) (got point.Point) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		p.t.Fatalf("exit code %d, %v: %s", r.Code, err, r.Stderr)
	}
	return got
}

// healthy waits until all of the cluster's daemons are back.
func (p *pool) healthy() {
	p.t.Helper()
	await(p.t, "the cluster is whole", func() bool {
		return strings.Contains(p.shell("ceph osd stat; ceph pg stat"), "3 osds: 3 up")
	})
}

// TestDaemonsDieWhileAnImageIsRead kills an OSD and then the monitor in the middle of an export, and starts them again. The
// copy is right, or it has failed and says why; the next one is right.
func TestDaemonsDieWhileAnImageIsRead(t *testing.T) {
	p := newPool(t)
	run := strings.TrimSuffix(p.lab.Ceph.Conf, "ceph.conf") + "run/"
	for daemon, program := range map[string]string{"osd.0": "ceph-osd", "mon.a": "ceph-mon"} {
		t.Run(daemon, func(t *testing.T) {
			image := "volume-" + strings.TrimRight(daemon, ".0a")
			p.image(image, 64)
			want := p.raw("volumes/" + image)
			r := p.Start("backup", "rbd", "--only", "volumes/"+image)
			frozen := r.FreezeChild(mebi, exporting(image))
			_, id, _ := strings.Cut(daemon, ".")
			p.shell("kill -9 $(cat " + run + daemon + ".pid)")
			frozen.Continue()
			// One that was killed holds its lock until it is buried.
			p.shell("for n in 1 2 3 4 5 6 7 8 9; do " + program + " -i " + id + " && exit; sleep 1; done; exit 1")
			p.healthy()
			got := p.point(r.Wait())
			c, _ := got.Component("rbd", "volumes/"+image)
			switch c.State {
			case point.Good:
				if p.restored(got.ID, c.Name) != want {
					t.Error("a copy that counts as good gives other bytes")
				}
			case point.ComponentFailed:
				t.Logf("failed: %s", c.Reason)
				if !strings.Contains(c.Reason, "rbd ") {
					t.Errorf("it does not say what failed: %s", c.Reason)
				}
			default:
				t.Errorf("state %s", c.State)
			}
			next := p.Backup("rbd")
			if p.restored(next.ID, "volumes/"+image) != want {
				t.Error("the next copy gives other bytes")
			}
		})
	}
	if got := p.snapshots(); len(got) != 2 {
		t.Errorf("snapshots %q", got)
	}
}

// quota bounds the pool to so many bytes, 0 for none, and waits until the cluster acts on it.
func (p *pool) quota(bytes int64, full bool) {
	p.t.Helper()
	p.shell(fmt.Sprintf("ceph osd pool set-quota volumes max_bytes %d", bytes))
	await(p.t, "the quota counts", func() bool {
		return strings.Contains(p.shell("ceph osd pool ls detail --format json"), "full_quota") == full
	})
}

// TestPoolIsFull: where no snapshot can be made, what did not change is captured all the same, and the rest says why not. A restore
// into a full pool is refused; one that runs into it waits, says so, and goes on when there is room.
func TestPoolIsFull(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 16)
	p.image("volume-b", 16)
	first := p.Backup("rbd")
	want := p.raw("volumes/volume-b")
	p.change("volume-a", 1)
	t.Cleanup(func() { p.quota(0, false) })
	p.quota(mebi, true)
	r := p.Try("backup", "rbd", "--json")
	second := p.point(r)
	a, _ := second.Component("rbd", "volumes/volume-a")
	b, _ := second.Component("rbd", "volumes/volume-b")
	if r.Code != 3 || a.State != point.ComponentFailed || !strings.Contains(a.Reason, "pool volumes has used up its quota (give it room") || b.Mode != point.Unchanged || b.State != point.Good {
		t.Errorf("exit code %d: a %s (%s), b %s %s (%s)", r.Code, a.State, a.Reason, b.State, b.Mode, b.Reason)
	}
	as := []string{"restore", "image", first.ID, "volumes/volume-b", "--as", "volumes/volume-c", "--yes"}
	p.Fails(1, []string{"pool volumes has 0 B free and 16.0 MiB are needed"}, as...)

	p.quota(0, false)
	p.fills("volume-c", want, "import-diff", as...)
	p.fills("volume-d", want, "execute", "restore", "image", first.ID, "volumes/volume-b", "--as", "volumes/volume-d", "--instant", "--yes")
	third := p.Backup("rbd")
	if a, _ := third.Component("rbd", "volumes/volume-a"); a.Mode != point.Incremental || a.Parent != first.ID {
		t.Errorf("with room: %s from %s (%s)", a.Mode, a.Parent, a.Reason)
	}
}

// fills restores an image, and has the pool full by the time that a command of rbd writes to it.
func (p *pool) fills(image, want, command string, args ...string) {
	p.t.Helper()
	restoring := p.Start(args...)
	writing := restoring.FreezeChild(0, func(c journey.Process) bool { return c.Name() == "rbd" && c.Has(command) })
	p.quota(mebi, true)
	writing.Continue()
	if _, told := restoring.Await(func(e event.Event) bool {
		return e.Kind == event.Note && strings.Contains(e.Text, "pool volumes has used up its quota: the restore waits until there is room")
	}); !told {
		p.t.Errorf("the restore of %s ended without a word of the full pool", image)
	}
	p.quota(0, false)
	if r := restoring.Wait(); r.Code != 0 {
		p.t.Fatalf("restore of %s: %s", image, r.Stderr)
	}
	if p.raw("volumes/"+image) != want {
		p.t.Errorf("%s holds other bytes", image)
	}
}

// TestTwoAtOnce: of two runs into one vault the second is refused, and two into different vaults leave each other alone.
func TestTwoAtOnce(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 32)
	other := journey.At(t, journey.NewSite(t, p.lab, nil))
	other.Init()
	for round := range int64(2) {
		p.overwrite("volume-a", 32, round)
		want := p.raw("volumes/volume-a")
		run := p.Start(slowly...)
		frozen := run.FreezeChild(0, exporting("volume-a"))
		p.Fails(6, []string{"rbd", "locked"}, "backup", "rbd")
		theirs := other.Backup("rbd")
		frozen.Continue()
		ours := p.point(run.Wait())
		for name, k := range map[string]struct {
			at  *journey.Operator
			got point.Point
		}{"ours": {p.Operator, ours}, "theirs": {other, theirs}} {
			c, _ := k.got.Component("rbd", "volumes/volume-a")
			if c.State != point.Good || (c.Mode == point.Full) != (round == 0) {
				t.Errorf("round %d, %s: %s %s (%s)", round, name, c.State, c.Mode, c.Reason)
			}
			mine := &pool{k.at, t, p.lab}
			if mine.restored(k.got.ID, c.Name) != want {
				t.Errorf("round %d, %s: other bytes", round, name)
			}
		}
		if got := p.snapshots(); len(got) != 2 {
			t.Errorf("round %d: snapshots %q", round, got)
		}
	}
}

// TestTrashOfADeadRun: snapshots that a killed run left on an image keep nothing in the trash.
func TestTrashOfADeadRun(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 16)
	p.image("volume-b", 4)
	run := p.Start(slowly...)
	run.FreezeChild(0, exporting("volume-a"))
	run.Kill()
	p.rbd("trash", "mv", "volumes/volume-a")
	if got := p.snapshots(); len(got) != 2 {
		t.Fatalf("after the kill: %q", got)
	}
	p.Backup("rbd")
	if got := p.snapshots(); len(got) != 1 || !strings.HasPrefix(got[0], "volume-b@") {
		t.Errorf("after the next run: %q", got)
	}
	p.rbd("trash", "mv", "volumes/volume-b")
	p.Try("backup", "rbd") // which has nothing to capture
	if got := p.snapshots(); len(got) != 0 {
		t.Errorf("after all were trashed: %q", got)
	}
}

// TestImportIsKilled: a restore whose rbd is killed says what it left, makes no image of the name that was asked for, and can be
// run again.
func TestImportIsKilled(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 512)
	want := p.raw("volumes/volume-a")
	p.Backup("rbd")
	as := []string{"restore", "image", "latest", "volumes/volume-a", "--as", "volumes/volume-b", "--yes"}
	importing := func(p journey.Process) bool { return p.Name() == "rbd" && (p.Has("import-diff") || p.Has("import")) }
	open := func(pr journey.Process) bool {
		return importing(pr) && strings.Contains(p.rbd("status", "volumes/volume-b.part"), "watcher=")
	}
	for _, at := range []func(journey.Process) bool{importing, open} { // Ceph takes who has it open to be there for a while yet
		run := p.Start(as...)
		run.FreezeChild(0, at).Signal(t, 9)
		r := run.Wait()
		if r.Code != 1 || !strings.Contains(r.Stderr, "volumes/volume-b") {
			t.Errorf("exit code %d: %s", r.Code, r.Stderr)
		}
		if names := p.rbd("ls", "volumes"); strings.Contains(names, "volume-b") {
			t.Errorf("images: %q: %s", names, r.Stderr)
		}
	}
	p.Run(as...)
	if p.raw("volumes/volume-b") != want {
		t.Error("the restored image holds other bytes")
	}
	await(t, "nothing else is left", func() bool { return len(strings.Fields(p.rbd("ls", "volumes"))) == 2 })
}
