package backup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// holder is a source that holds its components and notes what it was told to let go of.
type holder struct {
	*files
	released *point.Point
}

func (h *holder) Hold(_ context.Context, _ string, tasks []source.Task) []source.Held {
	var held []source.Held
	for _, t := range tasks {
		held = append(held, source.Held{Task: t})
	}
	return held
}

func (h *holder) Release(_ context.Context, sealed *point.Point, _ func(string)) error {
	h.released = sealed
	return nil
}

// ticking is a clock that never says the same twice.
func ticking() func() time.Time {
	var mu sync.Mutex
	at := t0
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Second)
		return at
	}
}

func names(components []point.Component) (all []string) {
	for _, c := range components {
		all = append(all, c.Name)
	}
	slices.Sort(all)
	return all
}

// interruptedAt runs a source one component after the other until the named one begins.
func interruptedAt(t *testing.T, e *Engine, src *holder, last string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	noted := make(chan string, 10)
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		if task.Name != last {
			return good(ctx, task, sink)
		}
		for range 2 { // both checkpoints are there
			<-noted
		}
		cancel()
		<-ctx.Done()
		return source.Outcome{}, ctx.Err()
	}
	e.Listen = noting(noted)
	e.Parallel, e.CheckpointEvery = 1, 2
	if _, err := e.Run(ctx); err == nil {
		t.Fatal("the run was not cut off")
	}
	e.Listen, src.capture = nil, good
}

// TestCheckpoints: what a run had kept when it was cut off is what it tells its source, what the next run builds on, and gone
// when that has its point.
func TestCheckpoints(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := &holder{files: trees("rbd", "a", "b", "c", "d", "e", "f")}
	e := engine(t, v, src)
	e.Now = ticking()
	interruptedAt(t, e, src, "f")
	kept := []string{"a", "b", "c", "d"}
	if src.released == nil || !slices.Equal(names(src.released.Components), kept) {
		t.Fatalf("released with %+v", src.released)
	}
	left, err := Checkpoints(t.Context(), v, "rbd")
	if err != nil || len(left) != 2 || !slices.Equal(names(append(left[0].Components, left[1].Components...)), kept) {
		t.Fatalf("checkpoints %+v, %v", left, err)
	}
	if ids := points(t, v); len(ids) > 0 {
		t.Errorf("points %v", ids)
	}

	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		if slices.Contains(kept, task.Name) {
			return source.Outcome{}, errors.New("must not be read")
		}
		return good(ctx, task, sink)
	}
	for i := range kept {
		src.plan.Tasks[i].Mode, src.plan.Tasks[i].Parent = point.Unchanged, left[0].Run
	}
	p := mustRun(t, e)
	if p.State != point.Complete {
		t.Fatalf("the next point: %+v", p)
	}
	if left, err := Checkpoints(t.Context(), v, "rbd"); err != nil || len(left) > 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
	fsys, err := v.FS(t.Context(), p.ID, "rbd")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Components {
		if data, err := fsys.ReadFile(c.Path + "/file"); err != nil || string(data) != "content of "+c.Name {
			t.Errorf("%s: %q, %v", c.Name, data, err)
		}
	}
}

// TestCheckpointsByTheClock: what was captured is kept after a while, however little it is, also after a while in which nothing was.
func TestCheckpointsByTheClock(t *testing.T) {
	const after = 20 * time.Millisecond
	src := &holder{files: trees("rbd", "a", "b", "c")}
	e := engine(t, newVault(t, t.TempDir()), src)
	kept := make(chan string, 10)
	e.Now, e.Parallel, e.CheckpointAfter = ticking(), 1, after
	e.Listen = func(ev event.Event) {
		if strings.HasPrefix(ev.Text, "checkpoint: ") {
			kept <- ev.Text
		}
	}
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		switch task.Name {
		case "a": // lasts until a checkpoint was due of nothing
			time.Sleep(5 * after)
		case "b", "c": // of all before
			select {
			case <-kept:
			case <-time.After(20 * time.Second):
				t.Errorf("no checkpoint before %s", task.Name)
			}
		}
		return good(ctx, task, sink)
	}
	mustRun(t, e)
}

// TestCheckpointsOfTwoRuns: while a component has no newer copy, its checkpoint stays.
func TestCheckpointsOfTwoRuns(t *testing.T) {
	v := newVault(t, t.TempDir())
	src := &holder{files: trees("rbd", "a", "b", "c", "d", "e")}
	e := engine(t, v, src)
	e.Now = ticking()
	interruptedAt(t, e, src, "e")
	interruptedAt(t, e, src, "e")
	left, err := Checkpoints(t.Context(), v, "rbd")
	if err != nil || len(left) != 4 {
		t.Fatalf("checkpoints %+v, %v", left, err)
	}
	src.capture = func(ctx context.Context, task source.Task, sink source.Sink) (source.Outcome, error) {
		if task.Name == "d" {
			return source.Outcome{}, errors.New("it cannot be read")
		}
		return good(ctx, task, sink)
	}
	mustRun(t, e) // which begins by removing what the second run had superseded
	left, err = Checkpoints(t.Context(), v, "rbd")
	if err != nil || len(left) != 1 || !slices.Equal(names(left[0].Components), []string{"c", "d"}) {
		t.Errorf("after a point without d: %+v, %v", left, err)
	}
	if got, _ := src.released.Component("rbd", "d"); got.State != point.ComponentFailed {
		t.Errorf("the run kept nothing of d, and says %s", got.State)
	}
	src.plan.Tasks = slices.DeleteFunc(src.plan.Tasks, func(t source.Task) bool { return t.Name == "d" })
	mustRun(t, e)
	if left, err := Checkpoints(t.Context(), v, "rbd"); err != nil || len(left) > 0 {
		t.Errorf("after d was deleted: %+v, %v", left, err)
	}
}

// TestSettled: when a component of a checkpoint is wanted no more.
func TestSettled(t *testing.T) {
	at := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	c := func(state point.ComponentState, required bool, started int, reason string) point.Component {
		return point.Component{Source: "rbd", Name: "a", State: state, Required: required, Started: at(started), Reason: reason}
	}
	other := point.Component{Source: "rbd", Name: "b", State: point.Good, Started: at(5)}
	for name, k := range map[string]struct {
		points []point.Point
		others []Checkpoint
		want   bool
	}{
		"nothing is newer":           {[]point.Point{{Started: at(0), Components: []point.Component{c(point.Good, true, 0, "")}}}, nil, false},
		"a newer point has it":       {[]point.Point{{Started: at(2), Components: []point.Component{c(point.Good, true, 2, "")}}}, nil, true},
		"its own point has it":       {[]point.Point{{Started: at(0), Components: []point.Component{c(point.Good, true, 1, "")}}}, nil, true},
		"a newer checkpoint has it":  {nil, []Checkpoint{{Components: []point.Component{c(point.Good, true, 2, "")}}}, true},
		"an older checkpoint has it": {nil, []Checkpoint{{Components: []point.Component{c(point.Good, true, 0, "")}}}, false},
		"it failed since":            {[]point.Point{{Started: at(2), Components: []point.Component{c(point.ComponentFailed, true, 2, "")}}}, nil, false},
		"it could not be opened":     {[]point.Point{{Started: at(2), Components: []point.Component{c(point.Skipped, true, 2, "")}}}, nil, false},
		"a rule leaves it out":       {[]point.Point{{Started: at(2), Components: []point.Component{c(point.Skipped, false, 2, "a rule")}}}, nil, true},
		"nobody asked for it":        {[]point.Point{{Started: at(2), Components: []point.Component{c(point.Skipped, false, 2, "not asked for: only x")}}}, nil, false},
		"it is gone":                 {[]point.Point{{Started: at(2), Components: []point.Component{other}}}, nil, true},
		"other sources were captured": {
			[]point.Point{{Started: at(2), Components: []point.Component{{Source: "kolla", Name: "ctl1", State: point.Good}}}}, nil, false,
		},
		"the pools could not be listed": {
			[]point.Point{{Started: at(2), Components: []point.Component{{Source: "rbd", Name: point.PlanName, State: point.ComponentFailed}}}}, nil, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := append(k.others, Checkpoint{Components: []point.Component{c(point.Good, true, 1, "")}})
			got := newSettled("rbd", k.points, all).all(all[len(all)-1])
			if diff := cmp.Diff(k.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
