package restore

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/problem"
	"holdfast/internal/vault"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestDependentsAreRemembered keeps two restores in a state directory, and finds them until they end.
func TestDependentsAreRemembered(t *testing.T) {
	state := t.TempDir()
	first, second := newDependent(state, noon), newDependent(state, noon.Add(time.Minute))
	first.Target, second.Target = "vms/a", "vms/b"
	for _, d := range []*Dependent{&second, &first} {
		unlock, err := d.lock()
		if err := errors.Join(err, d.save()); err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
	if len(first.Token) != 64 || first.Token == second.Token || first.ID == second.ID {
		t.Errorf("tokens %q and %q, ids %q and %q", first.Token, second.Token, first.ID, second.ID)
	}
	all, err := Dependents(state)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Dependent{first, second}, all, cmp.AllowUnexported(Dependent{})); diff != "" {
		t.Error(diff)
	}
	if !all[0].Held() {
		t.Error("nobody is said to hold what is locked")
	}
	if _, err := SelectDependent(all, ""); problem.KindOf(err) != problem.Usage || !strings.Contains(problem.HintOf(err), second.ID) {
		t.Errorf("two and none named: %v", err)
	}
	if d, err := SelectDependent(all, second.ID); err != nil || d.Target != "vms/b" {
		t.Errorf("the second by its id: %+v, %v", d, err)
	}
	if err := first.forget(); err != nil {
		t.Fatal(err)
	}
	if !first.Over() || second.Over() {
		t.Errorf("over: the first %v, the second %v", first.Over(), second.Over())
	}
	if err := first.reload(); problem.KindOf(err) != problem.NotFound {
		t.Errorf("reload of one that has ended: %v", err)
	}
	if all, err = Dependents(state); err != nil || len(all) != 1 || all[0].ID != second.ID {
		t.Errorf("after the first ended: %+v, %v", all, err)
	}
	if d, err := SelectDependent(all, ""); err != nil || d.ID != second.ID {
		t.Errorf("the only one: %+v, %v", d, err)
	}
}

func TestDependentsThatCannotBeReadAreTold(t *testing.T) {
	for name, text := range map[string]string{"broken": "{", "another": `{"id": "other"}`} {
		state := t.TempDir()
		file := filepath.Join(state, dependentsDir, "abc.json")
		if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := Dependents(state); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	state := t.TempDir()
	d := newDependent(state, noon)
	if err := errors.Join(d.save(), os.WriteFile(filepath.Join(state, dependentsDir, "0.json"), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if all, err := Dependents(state); err == nil || len(all) != 1 || all[0].ID != d.ID {
		t.Errorf("beside one that cannot be read: %+v, %v", all, err)
	}
	if all, err := Dependents(t.TempDir()); err != nil || len(all) > 0 {
		t.Errorf("no directory: %v, %v", all, err)
	}
}

func TestAbortTellsWhatItLoses(t *testing.T) {
	d := newDependent(t.TempDir(), noon)
	if err := d.CheckAbort(false, noon); err != nil {
		t.Errorf("never usable: %v", err)
	}
	d.Since = &noon
	err := d.CheckAbort(false, noon.Add(90*time.Minute))
	if problem.KindOf(err) != problem.Usage || !strings.Contains(err.Error(), "1h30m0s") || !strings.Contains(problem.HintOf(err), "--discard-writes") {
		t.Errorf("usable for a while: %v (%s)", err, problem.HintOf(err))
	}
	if err := d.CheckAbort(true, noon); err != nil {
		t.Errorf("accepted: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{"10.0.0.1": "10.0.0.1:0", "backup1": "backup1:0", "backup1:8080": "backup1:8080"} {
		if got := listenAddress(given); got != want || checkAddress(got) != nil {
			t.Errorf("%s: %s, %v", given, got, checkAddress(got))
		}
	}
	for _, wrong := range []string{"::1", "[::1]:80", ":80", "0.0.0.0", "[::]:0", ""} {
		if err := checkAddress(listenAddress(wrong)); problem.KindOf(err) != problem.Usage {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// TestHolesAreNotRead reads random ranges of a file of which only the extents may be read.
func TestHolesAreNotRead(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	want := make([]byte, 10000)
	full := bytes.Repeat([]byte{7}, len(want))
	extents := []vault.Extent{{Offset: 0, Length: 100}, {Offset: 500, Length: 1}, {Offset: 4000, Length: 3000}, {Offset: 9990, Length: 10}}
	for _, e := range extents {
		copy(want[e.Offset:e.End()], full)
	}
	w := &withHoles{bytes.NewReader(full), extents}
	for range 2000 {
		off := r.IntN(len(want))
		p := make([]byte, r.IntN(len(want)-off))
		if n, err := w.ReadAt(p, int64(off)); n != len(p) || err != nil || !bytes.Equal(p, want[off:off+n]) {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	w.from = noReads{}
	if n, err := w.ReadAt(make([]byte, 20), 490); n != 10 || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an extent that cannot be read: %d, %v", n, err)
	}
}

type noReads struct{}

func (noReads) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrInvalid }
