package fault

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// cutOff starts a run, waits until it exports an image and has kept as many before, and ends it. It returns the run's id.
func (p *pool) cutOff(at string, kept int, end func(*journey.Run)) string {
	p.t.Helper()
	run := p.Start("backup", "rbd", "--parallel", "1", "--limit", "8MiB") // so that an export is there for a while
	run.FreezeChild(0, exporting(at))
	begun, _ := run.Await(func(e event.Event) bool { return e.Kind == event.RunStarted })
	told := fmt.Sprintf("checkpoint: %d ", kept)
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Note && strings.HasPrefix(e.Text, told) }); !ok {
		p.t.Fatalf("it kept nothing: %+v", run.Wait())
	}
	end(run)
	return begun.Point
}

func killed(r *journey.Run) { r.Kill() }

func interrupted(r *journey.Run) {
	r.Interrupt()
	<-r.Ended()
}

// built is how a point's components came about: their mode, and the point or run that they build on.
func built(p point.Point) map[string]string {
	all := map[string]string{}
	for _, c := range p.Components {
		all[strings.TrimPrefix(c.Name, "volumes/volume-")] = strings.TrimSpace(string(c.Mode) + " " + c.Parent)
	}
	return all
}

// TestCheckpoints cuts runs off after what they captured was kept. The next run builds on that, captures the rest anew, and
// leaves one snapshot for each image and nothing else; nothing of a run that was cut off is ever taken for a point.
func TestCheckpoints(t *testing.T) {
	p := newPool(t, "  checkpoint: 2\n")
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, n := range names {
		p.image("volume-"+n, 8)
	}
	whole := map[string]string{}
	hold := func(id string) {
		t.Helper()
		for _, n := range names {
			whole[id+" volumes/volume-"+n] = p.raw("volumes/volume-" + n)
		}
		if got := p.snapshots(); len(got) != len(names) {
			t.Errorf("snapshots %q", got)
		}
	}

	// Five were captured, and four of them kept.
	first := p.cutOff("volume-f", 4, killed)
	p.change("volume-b", 1)
	// Of the second run, what was kept of the first is unchanged but for b, and b and e are kept.
	second := p.cutOff("volume-f", 2, killed)
	p.change("volume-e", 1)
	if points := p.Points(); len(points) > 0 {
		t.Errorf("points %v", points)
	}
	p.Fails(4, []string{first}, "restore", "image", first, "volumes/volume-a", "--to", t.TempDir()+"/raw", "--yes")
	third := p.Backup("rbd")
	if diff := cmp.Diff(map[string]string{
		"a": "unchanged " + first, "b": "unchanged " + second, "c": "unchanged " + first, "d": "unchanged " + first,
		"e": "incremental " + second, "f": "full",
	}, built(third)); diff != "" || !strings.Contains(fmt.Sprint(third.Notes), "is built on") {
		t.Errorf("after two kills, with notes %q: %s", third.Notes, diff)
	}
	hold(third.ID)

	// An interrupted run keeps as much.
	for n, name := range names[:4] {
		p.overwrite("volume-"+name, 8, int64(n))
	}
	fourth := p.cutOff("volume-d", 2, interrupted)
	fifth := p.Backup("rbd")
	if diff := cmp.Diff(map[string]string{
		"a": "unchanged " + fourth, "b": "unchanged " + fourth, "c": "incremental " + third.ID, "d": "incremental " + third.ID,
		"e": "unchanged " + third.ID, "f": "unchanged " + third.ID,
	}, built(fifth)); diff != "" {
		t.Errorf("after an interruption: %s", diff)
	}
	hold(fifth.ID)
	if diff := cmp.Diff([]string{third.ID, fifth.ID}, p.Points()); diff != "" {
		t.Error(diff)
	}
	for what, data := range whole {
		id, name, _ := strings.Cut(what, " ")
		if p.restored(id, name) != data {
			t.Errorf("point %s gives %s back differently", id, name)
		}
	}
}
