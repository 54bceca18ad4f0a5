package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

var t0 = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// newVault makes a real vault in dir and opens it for the length of the test.
func newVault(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	loc, pass := vault.Location{Tier: "local", URL: dir}, secret.New("open sesame, please")
	if err := vault.Create(t.Context(), loc, pass, vault.CreateOptions{Cloud: "paris"}); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), loc, pass, vault.OpenOptions{Cloud: "paris", State: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Errorf("close vault: %v", err)
		}
	})
	return v
}

// files is a source whose components are small trees; capture says what each does.
type files struct {
	name    string
	plan    source.Plan
	planErr error
	capture func(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error)
}

func (f *files) Name() string { return f.name }

func (f *files) Plan(context.Context) (source.Plan, error) { return f.plan, f.planErr }

func (f *files) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	return f.capture(ctx, t, sink)
}

// trees makes a source of required components that write one file each and end well.
func trees(name string, components ...string) *files {
	f := &files{name: name, capture: good}
	for _, c := range components {
		f.plan.Tasks = append(f.plan.Tasks, task(name, c))
	}
	return f
}

func task(sourceName, name string) source.Task {
	return source.Task{
		Source: sourceName, Name: name, Kind: point.Files, Mode: point.Full, Host: "ctl1", Reason: "it is there",
		Path: sourceName + "/" + name, Required: true, Estimate: 100,
	}
}

// good writes a file and proves its end.
func good(_ context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	return source.Outcome{
		State: point.Good, Identity: map[string]any{"host": t.Host}, Proof: map[string]any{"end": true}, At: t0,
	}, put(sink, "file", []byte("content of "+t.Name))
}

func put(sink source.Sink, name string, data []byte) error {
	f, err := sink.Tree.Create(name, stream.Meta{Mode: 0o640, UID: 42, GID: 43, ModTime: t0}, stream.Plain)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Abort()
		return err
	}
	sink.Read(int64(len(data)))
	return f.Close()
}

// log keeps the events of a run.
type log struct {
	mu     sync.Mutex
	events []event.Event
}

func (l *log) listen(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// brief tells events as one word each, with what they are about.
func (l *log) brief(kinds ...event.Kind) []string {
	var out []string
	for _, e := range l.events {
		for _, k := range kinds {
			if e.Kind == k {
				out = append(out, fmt.Sprint(e.Kind, " ", e.Component, e.State))
			}
		}
	}
	return out
}

// engine is an engine of the given sources with a clock that stands still.
func engine(t *testing.T, v *vault.Vault, sources ...source.Source) *Engine {
	t.Helper()
	return &Engine{
		Cloud: "paris", Version: "1.0", Vault: v, Sources: sources,
		Journal: Journal{Dir: filepath.Join(t.TempDir(), "runs")}, Now: func() time.Time { return t0 },
	}
}

func mustRun(t *testing.T, e *Engine) point.Point {
	t.Helper()
	p, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// states are the states of a point's components by name.
func states(p point.Point) map[string]point.ComponentState {
	out := map[string]point.ComponentState{}
	for _, c := range p.Components {
		out[c.Source+"/"+c.Name] = c.State
	}
	return out
}

// points are the ids of what the vault holds.
func points(t *testing.T, v *vault.Vault) []string {
	t.Helper()
	all, err := v.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	return ids
}

// left are the names that runs left in a journal.
func left(t *testing.T, j Journal) []string {
	t.Helper()
	entries, err := os.ReadDir(j.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// metaOfTest is the metadata of files that do not matter.
var metaOfTest = stream.Meta{Mode: 0o600, ModTime: t0}

// noting passes the notes of a run on.
func noting(to chan<- string) event.Listener {
	return func(e event.Event) {
		if e.Kind == event.Note {
			to <- e.Text
		}
	}
}
