package backup

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// TestPointManifest holds the whole JSON of a point: other programs read it.
func TestPointManifest(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := trees("kolla", "ctl1")
	src.plan.Notes = []string{"one compute host is down"}
	src.plan.Skipped = []source.Task{{Source: "kolla", Name: "cmp1", Kind: point.Files, Mode: point.Full, Host: "cmp1", Reason: "no route", Path: "kolla/cmp1"}}
	returned := mustRun(t, engine(t, v, src))
	stored, err := v.Points(t.Context())
	if err != nil || len(stored) != 1 {
		t.Fatal(stored, err)
	}
	if diff := cmp.Diff(returned, stored[0]); diff != "" {
		t.Errorf("what was returned is not what was sealed: %s", diff)
	}
	got, err := json.MarshalIndent(returned, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	masked := strings.ReplaceAll(string(got), returned.ID, "ID")
	masked = regexp.MustCompile(`"bytes_new": [1-9]\d*`).ReplaceAllString(masked, `"bytes_new": 1`)
	const want = `{
 "id": "ID",
 "cloud": "paris",
 "started": "2026-03-01T02:00:00Z",
 "finished": "2026-03-01T02:00:00Z",
 "state": "complete",
 "skew_seconds": 0,
 "holdfast_version": "1.0",
 "components": [
  {
   "source": "kolla",
   "name": "cmp1",
   "kind": "files",
   "mode": "full",
   "state": "skipped",
   "required": false,
   "reason": "no route",
   "host": "cmp1",
   "path": "kolla/cmp1",
   "started": "2026-03-01T02:00:00Z",
   "bytes_read": 0,
   "bytes_new": 0,
   "seconds": 0,
   "identity": {},
   "proof": {}
  },
  {
   "source": "kolla",
   "name": "ctl1",
   "kind": "files",
   "mode": "full",
   "state": "good",
   "required": true,
   "reason": "it is there",
   "host": "ctl1",
   "path": "kolla/ctl1",
   "started": "2026-03-01T02:00:00Z",
   "consistent_at": "2026-03-01T02:00:00Z",
   "bytes_read": 15,
   "bytes_new": 1,
   "seconds": 0,
   "identity": {
    "host": "ctl1"
   },
   "proof": {
    "end": true
   }
  }
 ],
 "notes": [
  "kolla: one compute host is down"
 ]
}`
	if diff := cmp.Diff(want, masked); diff != "" {
		t.Error(diff)
	}
}

// TestOneFailureSparesTheRest has components end in every way; each is told as it ended.
func TestOneFailureSparesTheRest(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := trees("kolla", "good", "partial", "failed", "cut", "mute", "unproven", "empty")
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		if task.Name == "empty" {
			return source.Outcome{State: point.Good, Proof: map[string]any{"end": true}}, nil
		}
		out, err := good(ctx, task, sink)
		switch task.Name {
		case "partial":
			out.State, out.Reason = point.ComponentPartial, "not captured: /etc/secret"
		case "failed":
			err = problem.New(problem.Failed, "start it", "the server is down")
		case "cut":
			_, err = sink.Tree.Create("left open", metaOfTest, 0)
		case "mute":
			out.State = ""
		case "unproven":
			out.Proof = nil
		}
		return out, err
	}
	broken := &files{name: "mariadb", planErr: problem.New(problem.Failed, "start the nodes", "no node answers")}
	p := mustRun(t, engine(t, v, broken, src))
	want := map[string]point.ComponentState{
		"kolla/good": point.Good, "kolla/partial": point.ComponentPartial, "kolla/failed": point.ComponentFailed,
		"kolla/cut": point.ComponentFailed, "kolla/mute": point.ComponentFailed, "kolla/unproven": point.ComponentFailed,
		"kolla/empty": point.ComponentFailed, "mariadb/plan": point.ComponentFailed,
	}
	if diff := cmp.Diff(want, states(p)); diff != "" || p.State != point.Partial {
		t.Errorf("state %s: %s", p.State, diff)
	}
	for name, reason := range map[string]string{
		"partial": "not captured: /etc/secret", "failed": "the server is down (start it)", "cut": "left open is still open",
		"mute": "says nothing", "unproven": "without a proof", "empty": "without a single file",
	} {
		if c, _ := p.Component("kolla", name); !strings.Contains(c.Reason, reason) {
			t.Errorf("%s: reason %q, want %q", name, c.Reason, reason)
		}
	}
	fsys, err := v.FS(t.Context(), p.ID, "kolla")
	if err != nil {
		t.Fatal(err)
	}
	for name, held := range map[string]bool{"good": true, "partial": true, "failed": false, "unproven": false, "empty": false} {
		if _, err := fsys.Entry("kolla/" + name); (err == nil) != held {
			t.Errorf("%s is held: %v", name, err)
		}
	}
}

// TestNothingCaptured seals a point that says so.
func TestNothingCaptured(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := trees("kolla", "ctl1")
	src.capture = func(context.Context, source.Task, source.Sink) (source.Outcome, error) {
		return source.Outcome{}, errors.New("no route to host")
	}
	p := mustRun(t, engine(t, v, src))
	if p.State != point.Failed || len(points(t, v)) != 1 {
		t.Errorf("point %+v, vault holds %v", p, points(t, v))
	}
}

// TestEventsComeInOrder: a component is planned, then started, then told of, then finished, and never again.
func TestEventsComeInOrder(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := trees("kolla", "ctl1")
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		sink.Note("halfway")
		time.Sleep(progressEvery + progressEvery/2) // of two tellings one is due
		return good(ctx, task, sink)
	}
	var l log
	e := engine(t, v, src)
	e.Listen = l.listen
	mustRun(t, e)
	want := []string{"run_started ", "planned ctl1", "started ctl1", "note ctl1", "progress ctl1", "finished ctl1good", "run_finished complete"}
	all := []event.Kind{event.RunStarted, event.Planned, event.Started, event.Note, event.Progress, event.Finished, event.RunFinished}
	if diff := cmp.Diff(want, l.brief(all...)); diff != "" {
		t.Error(diff)
	}
}

func TestNoMoreAtOnceThanAsked(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := trees("kolla", "a", "b", "c", "d", "e", "f")
	var now, most atomic.Int32
	met := make(chan bool)
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		switch task.Name { // the first two meet, or nothing runs beside them
		case "a":
			met <- true
		case "b":
			<-met
		}
		return good(ctx, task, sink)
	}
	e := engine(t, v, src)
	e.Parallel = 2
	if p := mustRun(t, e); p.State != point.Complete || most.Load() != 2 {
		t.Errorf("point is %s, %d ran at once", p.State, most.Load())
	}
}

func TestOnlySomeComponents(t *testing.T) {
	v := newVault(t, t.TempDir())
	e := engine(t, v, trees("kolla", "ctl1", "cmp1"))
	e.Only = "ctl*"
	p := mustRun(t, e)
	want := map[string]point.ComponentState{"kolla/ctl1": point.Good, "kolla/cmp1": point.Skipped}
	if diff := cmp.Diff(want, states(p)); diff != "" || p.State != point.Complete {
		t.Errorf("point is %s: %s", p.State, diff)
	}
	e.Only = "net*"
	if _, err := e.Run(t.Context()); problem.KindOf(err) != problem.Usage {
		t.Errorf("nothing matches: %v", err)
	}
	if n := len(points(t, v)); n != 1 || left(t, e.Journal) != nil {
		t.Errorf("%d points, journal %v", n, left(t, e.Journal))
	}
}

// TestTakeOverWhatIsUnchanged makes a second point of the first one's tree, without a capture.
func TestTakeOverWhatIsUnchanged(t *testing.T) {
	v := newVault(t, t.TempDir())
	first := mustRun(t, engine(t, v, trees("mariadb", "image")))
	again := trees("mariadb", "image", "gone")
	again.capture = func(context.Context, source.Task, source.Sink) (source.Outcome, error) {
		return source.Outcome{}, errors.New("must not be read")
	}
	for i := range again.plan.Tasks {
		again.plan.Tasks[i].Mode, again.plan.Tasks[i].Parent = point.Unchanged, first.ID
	}
	second := mustRun(t, engine(t, v, again))
	c, _ := second.Component("mariadb", "image")
	if c.State != point.Good || c.Parent != first.ID || c.BytesRead != 0 || c.Proof["end"] != true {
		t.Errorf("taken over: %+v", c)
	}
	if c, _ := second.Component("mariadb", "gone"); c.State != point.ComponentFailed || !strings.Contains(c.Reason, "no good gone") {
		t.Errorf("what no point holds: %+v", c)
	}
	if err := v.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	fsys, err := v.FS(t.Context(), second.ID, "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fsys.ReadFile("mariadb/image/file"); err != nil || string(data) != "content of image" {
		t.Errorf("read %q, %v", data, err)
	}
}
