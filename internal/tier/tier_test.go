package tier

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

const cloud = "cloud1"

var pass = secret.New("a passphrase for tests")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place makes a vault of a tier, of the same cloud as another one if that is not nil.
func place(t testing.TB, name string, of *vault.Vault) *vault.Vault {
	t.Helper()
	o := vault.CreateOptions{Cloud: cloud}
	if of != nil {
		o.HashSecret = of.HashSecret()
	}
	loc := vault.Location{Tier: name, URL: filepath.Join(t.TempDir(), name)}
	check(t, vault.Create(t.Context(), loc, secret.New(pass.Reveal()+name), o))
	v, err := vault.Open(t.Context(), loc, secret.New(pass.Reveal()+name), vault.OpenOptions{Cloud: cloud, State: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, v.Close(context.Background())) })
	return v
}

// seal makes a point with one file.
func seal(t *testing.T, v *vault.Vault, id string, data []byte) {
	t.Helper()
	s, err := v.Begin(t.Context(), id, "kolla")
	check(t, err)
	check(t, s.WriteFile("ctl1/etc/kolla/file", stream.Meta{Mode: 0o600, ModTime: time.Unix(1000, 0)}, data))
	_, err = s.Seal(t.Context(), nil, nil)
	check(t, err)
	check(t, v.SealPoint(t.Context(), point.Point{ID: id, Cloud: cloud, State: point.Complete, Components: []point.Component{
		{Source: "kolla", Name: "ctl1", Path: "ctl1", State: point.Good},
	}}))
}

func read(t *testing.T, v *vault.Vault, id string) []byte {
	t.Helper()
	fsys, err := v.FS(t.Context(), id, "kolla")
	check(t, err)
	data, err := fs.ReadFile(fsys, "ctl1/etc/kolla/file")
	check(t, err)
	return data
}

// heard keeps events.
type heard struct {
	mu  sync.Mutex
	all []event.Event
}

func (h *heard) listen(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
}

func options(h *heard) Options { return Options{Listen: h.listen, Now: time.Now} }

// TestReplicateDownTheTiers copies points to a second tier and from there to a third.
func TestReplicateDownTheTiers(t *testing.T) {
	local := place(t, "local", nil)
	s3, offsite := place(t, "s3", local), place(t, "offsite", local)
	seal(t, local, "p1", []byte("one"))
	seal(t, local, "p2", []byte("two"))
	h := &heard{}
	res, err := Replicate(t.Context(), local, s3, options(h))
	check(t, err)
	if res.From != "local" || res.To != "s3" || res.Held != 0 || len(res.Points) != 2 || res.Points[0].Point != "p2" || res.Points[0].State != Copied {
		t.Errorf("first: %+v", res)
	}
	var kinds []event.Kind
	for _, e := range h.all {
		if e.Kind != event.Progress {
			kinds = append(kinds, e.Kind)
		}
	}
	if want := []event.Kind{event.RunStarted, event.Started, event.Finished, event.Started, event.Finished, event.RunFinished}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	if res, err := Replicate(t.Context(), local, s3, options(h)); err != nil || res.Held != 2 || len(res.Points) != 0 {
		t.Errorf("again: %+v, %v", res, err)
	}
	if res, err := Replicate(t.Context(), s3, offsite, options(h)); err != nil || len(res.Points) != 2 {
		t.Errorf("third: %+v, %v", res, err)
	}
	if got := read(t, offsite, "p1"); string(got) != "one" {
		t.Errorf("read %q from the third tier", got)
	}
}

// TestReplicateChosen copies one point of two.
func TestReplicateChosen(t *testing.T) {
	local := place(t, "local", nil)
	next := place(t, "next", local)
	seal(t, local, "p1", []byte("one"))
	seal(t, local, "p2", []byte("two"))
	o := options(&heard{})
	o.Points = []string{"p3"}
	if _, err := Replicate(t.Context(), local, next, o); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a point that is not there: %v", err)
	}
	o.Points = []string{"p1"}
	o.DryRun = true
	if res, err := Replicate(t.Context(), local, next, o); err != nil || len(res.Points) != 1 || res.Points[0].State != Lacking || res.Points[0].Contents == 0 {
		t.Errorf("dry run: %+v, %v", res, err)
	}
	o.DryRun = false
	_, err := Replicate(t.Context(), local, next, o)
	check(t, err)
	points, err := next.Points(t.Context())
	if err != nil || len(points) != 1 || points[0].ID != "p1" {
		t.Errorf("held %v, %v", points, err)
	}
}

// TestReplicateAlone refuses to run beside another replication into the same vault, and beside nothing else.
// TestReplicateRefused: what is refused is told, the others are copied, and the next time it is asked about again.
func TestReplicateRefused(t *testing.T) {
	first := place(t, "local", nil)
	next := place(t, "s3", first)
	for _, id := range []string{"p1", "p2", "p3"} {
		seal(t, first, id, []byte(id))
	}
	o := Options{Now: time.Now, Refuse: func(_ context.Context, p vault.Sealed) error {
		if !slices.Equal(p.Sources, []string{"kolla"}) {
			t.Errorf("point %s has the sources %v", p.ID, p.Sources)
		}
		if p.ID == "p2" {
			return problem.New(problem.Failed, "make room", "no room")
		}
		return nil
	}}
	res, err := Replicate(t.Context(), first, next, o)
	if err == nil || problem.HintOf(err) != "make room" || problem.KindOf(err) != problem.Failed {
		t.Errorf("it ends with %v, hint %q", err, problem.HintOf(err))
	}
	states := map[string]State{}
	for _, p := range res.Points {
		states[p.Point] = p.State
	}
	if want := map[string]State{"p1": Copied, "p2": Refused, "p3": Copied}; !maps.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	res, err = Replicate(t.Context(), first, next, Options{Now: time.Now})
	if err != nil || len(res.Points) != 1 || res.Points[0].Point != "p2" || res.Held != 2 {
		t.Errorf("with room: %+v, %v", res, err)
	}
}

func TestReplicateAlone(t *testing.T) {
	local := place(t, "local", nil)
	next, other := place(t, "next", local), place(t, "other", local)
	unlock, err := next.Lock(LockName)
	check(t, err)
	defer unlock()
	if _, err := Replicate(t.Context(), local, next, options(&heard{})); problem.KindOf(err) != problem.Busy {
		t.Errorf("beside another: %v", err)
	}
	if _, err := Replicate(t.Context(), local, other, options(&heard{})); err != nil {
		t.Errorf("into another vault: %v", err)
	}
}

// TestReplicateGoesOn loses the data of one of three points: the other two are copied, and the result says which is not.
func TestReplicateGoesOn(t *testing.T) {
	local := place(t, "local", nil)
	next := place(t, "next", local)
	seal(t, local, "p1", []byte("one"))
	before := packs(t, local)
	seal(t, local, "p2", []byte("two"))
	for _, pack := range packs(t, local) {
		if !slices.Contains(before, pack) {
			check(t, os.Remove(pack))
		}
	}
	seal(t, local, "p3", []byte("three"))
	res, err := Replicate(t.Context(), local, next, options(&heard{}))
	if problem.KindOf(err) != problem.Damage {
		t.Fatalf("%+v, %v", res, err)
	}
	states := map[string]State{}
	for _, p := range res.Points {
		states[p.Point] = p.State
		if p.State == Damaged && (len(p.Damaged) == 0 || p.Damaged[0].Component != "ctl1" && p.Damaged[0].File != "manifest.json") {
			t.Errorf("damage %+v", p.Damaged)
		}
	}
	if states["p1"] != Copied || states["p2"] != Damaged || states["p3"] != Copied {
		t.Errorf("states %v", states)
	}
}

// packs returns the files that hold data.
func packs(t *testing.T, v *vault.Vault) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(v.Dir(), "p*", "*", "*.f"))
	check(t, err)
	more, err := filepath.Glob(filepath.Join(v.Dir(), "p*", "*.f"))
	check(t, err)
	return append(files, more...)
}

// TestReplicateWithinTheLimit sends no faster than it may.
func TestReplicateWithinTheLimit(t *testing.T) {
	local := place(t, "local", nil)
	next := place(t, "next", local)
	data := make([]byte, 640<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // it never fails
	seal(t, local, "p1", data)
	o := options(&heard{})
	o.Limit = func() int64 { return 128 << 10 }
	began := time.Now()
	res, err := Replicate(t.Context(), local, next, o)
	check(t, err)
	least := time.Duration(float64(res.Points[0].Bytes-atOneGo) / float64(o.Limit()) * float64(time.Second))
	if took := time.Since(began); took < least || least < 100*time.Millisecond {
		t.Errorf("%d bytes within %v, want at least %v", res.Points[0].Bytes, took, least)
	}
	if got := read(t, next, "p1"); !bytes.Equal(got, data) {
		t.Error("the copy differs")
	}
}

// TestReplicateManyHeld compares two vaults that hold the same many points.
func TestReplicateManyHeld(t *testing.T) {
	local := place(t, "local", nil)
	next := place(t, "next", local)
	const many = 20
	for i := range many {
		seal(t, local, fmt.Sprintf("p%d", i), []byte(fmt.Sprint(i)))
	}
	_, err := Replicate(t.Context(), local, next, options(&heard{}))
	check(t, err)
	h := &heard{}
	if res, err := Replicate(t.Context(), local, next, options(h)); err != nil || res.Held != many || len(res.Points)+len(h.all) != 0 {
		t.Errorf("%+v, %v, events %v", res, err, h.all)
	}
}
