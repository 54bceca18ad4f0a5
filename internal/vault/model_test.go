package vault

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// soakEnv, when set, has the model test run many more sequences.
const soakEnv = "HOLDFAST_SOAK"

// modelTier is one of two vaults, and what the model knows of it.
type modelTier struct {
	loc    Location
	v      *Vault
	holds  map[string]bool // points
	struck bool            // at any time: what no point refers to may be damaged yet
	dirty  bool            // struck, and not healed since
	lost   map[string]bool // points that the last healing named, or that were in danger
}

// model is what must be restorable: the files of each point, and in which of two vaults it is.
type model struct {
	t     *testing.T
	rt    *rapid.T
	tiers [2]*modelTier
	files map[string]map[string][]byte
	next  int
}

// TestModel takes, copies, verifies, damages, heals and removes points in any order, against a model in memory: no read ever gives other bytes
// than were written, what was struck in one of two vaults comes back from the other, and what does not is named.
func TestModel(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	was := checks.Value.String()
	t.Cleanup(func() { _ = checks.Value.Set(was) })
	if os.Getenv(soakEnv) == "" {
		if err := checks.Value.Set("3"); err != nil {
			t.Fatal(err)
		}
	}
	first := Location{Tier: "first", URL: filepath.Join(t.TempDir(), "empty")}
	check(t, Create(t.Context(), first, testPass, CreateOptions{Cloud: testCloud}))
	second := createSecond(t, openVault(t, first))
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: t, rt: rt, files: map[string]map[string][]byte{}}
		dir, err := os.MkdirTemp(t.TempDir(), "run")
		check(t, err)
		for i, empty := range []Location{first, second} {
			loc := Location{Tier: empty.Tier, URL: filepath.Join(dir, empty.Tier)}
			check(t, os.CopyFS(loc.URL, os.DirFS(empty.URL)))
			m.tiers[i] = &modelTier{loc: loc, holds: map[string]bool{}, lost: map[string]bool{}}
			m.open(m.tiers[i])
		}
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"backup": m.backup, "replicate": m.replicate, "verify": m.verify, "damage": m.damage, "heal": m.heal, "restore": m.restore,
			"reopen": m.reopen, "prune": m.prune,
		})
		m.settle()
	})
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) open(t *modelTier) {
	var err error
	t.v, err = Open(m.t.Context(), t.loc, testPass, OpenOptions{Cloud: testCloud})
	m.must(err)
}

func (m *model) close() {
	for _, t := range m.tiers {
		_ = t.v.Close(context.Background()) // whatever was struck
	}
}

func (m *model) tier(rt *rapid.T) *modelTier { return m.tiers[rapid.IntRange(0, 1).Draw(rt, "tier")] }

// reopen begins a new process.
func (m *model) reopen(rt *rapid.T) {
	t := m.tier(rt)
	m.must(t.v.Close(m.t.Context()))
	m.open(t)
}

// backup takes a point of few files, whose pieces it shares with others.
func (m *model) backup(rt *rapid.T) {
	first := m.tiers[0]
	id := fmt.Sprintf("p%d", m.next)
	m.next++
	files := map[string][]byte{}
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 4, rapid.ID).Draw(rt, "files") {
		name := fmt.Sprintf("d%d/f%d", n%2, n)
		files[name] = noise(300<<10, byte(rapid.IntRange(0, 8).Draw(rt, "seed")))
	}
	err := m.take(id, files)
	for tries := 0; first.struck && err != nil && tries < mostTries; tries++ {
		err = m.take(id, files) // it shared what is damaged, which it now writes anew
	}
	m.must(err)
	m.files[id], first.holds[id] = files, true
	if first.struck {
		first.lost[id] = true // it may share what is damaged and nobody has found yet
	}
}

// take is one run of a backup.
func (m *model) take(id string, files map[string][]byte) error {
	ctx, v := m.t.Context(), m.tiers[0].v
	s, err := v.Begin(ctx, id, "mariadb")
	m.must(err)
	defer s.Abandon(ctx)
	for name, data := range files {
		f, err := s.Tree("db").Create(name, meta(0o600), stream.Pages)
		m.must(err)
		_, err = f.Write(data)
		m.must(err)
		m.must(f.Close())
	}
	if _, err := s.Seal(ctx, id, nil); err != nil {
		return err
	}
	return v.SealPoint(ctx, point.Point{ID: id, Cloud: testCloud, State: point.Complete, Components: []point.Component{good("mariadb", "db")}})
}

// replicate brings all points to the second vault that can be read, whatever is damaged there.
func (m *model) replicate(*rapid.T) {
	from, to := m.tiers[0], m.tiers[1]
	r, err := from.v.Replica(m.t.Context(), to.v, ReplicaOptions{})
	m.must(err)
	for _, p := range r.Lacking() {
		_, err := r.Copy(m.t.Context(), p.ID)
		switch {
		case err == nil:
			to.holds[p.ID] = true
			if to.struck {
				to.lost[p.ID] = true
			}
		case problem.KindOf(err) != problem.Damage || !from.dirty && !from.lost[p.ID]:
			m.rt.Fatalf("copy %s: %v", p.ID, err)
		}
	}
	m.must(r.Close(m.t.Context()))
}

// verify demands that what was not struck is whole, and that what is said to be whole gives back its files.
func (m *model) verify(rt *rapid.T) {
	t := m.tier(rt)
	if len(t.holds) == 0 {
		return
	}
	rep, err := t.v.Verify(m.t.Context(), "", VerifyOptions{Depth: Full})
	m.judge(t, rep, err)
	if err == nil {
		t.dirty, t.lost = false, map[string]bool{}
	}
}

// judge compares what was found damaged with what may be, and reads all else.
func (m *model) judge(t *modelTier, rep Report, err error) {
	if err != nil && problem.KindOf(err) != problem.Damage {
		m.rt.Fatalf("%s: %v", t.loc.Tier, err)
	}
	for _, d := range rep.Damaged {
		if !t.dirty && !t.lost[d.Point] {
			m.rt.Fatalf("%s: %+v was not struck", t.loc.Tier, d)
		}
	}
	for _, e := range rep.Each {
		if e.Damaged == 0 {
			m.whole(t, e.Point)
		}
	}
}

// whole reads all of a point.
func (m *model) whole(t *modelTier, id string) {
	if wrong, err := m.read(t, id); wrong != "" || err != nil {
		m.rt.Fatalf("%s: point %s: %s %v", t.loc.Tier, id, wrong, err)
	}
}

// read names the first file that has other bytes than were written; err is that of a read that says so itself.
func (m *model) read(t *modelTier, id string) (wrong string, err error) {
	fsys, err := t.v.FS(m.t.Context(), id, "mariadb")
	if err != nil {
		return "", err
	}
	for name, want := range m.files[id] {
		got, err := fs.ReadFile(fsys, "db/"+name)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(got, want) {
			return name, nil
		}
	}
	return "", nil
}

// restore reads a point: never other bytes, and all of them where nothing was struck.
func (m *model) restore(rt *rapid.T) {
	t := m.tier(rt)
	if len(t.holds) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(t.holds))).Draw(rt, "point")
	wrong, err := m.read(t, id)
	if wrong != "" || err != nil && !t.dirty && !t.lost[id] {
		m.rt.Fatalf("%s: restore %s: %s %v", t.loc.Tier, id, wrong, err)
	}
}

// damage strikes one pack of one vault, unless the other one is struck.
func (m *model) damage(rt *rapid.T) {
	t := m.tier(rt)
	other := m.tiers[0]
	if t == other {
		other = m.tiers[1]
	}
	packs := packFiles(t.loc.URL)
	if other.dirty || len(t.holds) == 0 || len(packs) == 0 {
		return
	}
	file := rapid.SampledFrom(packs).Draw(rt, "pack")
	switch rapid.SampledFrom([]string{"gone", "cut", "zeroed"}).Draw(rt, "harm") {
	case "gone":
		m.must(os.Remove(file))
	case "cut":
		info, err := os.Stat(file)
		m.must(err)
		m.must(os.Truncate(file, info.Size()/2))
	case "zeroed":
		data, err := os.ReadFile(file)
		m.must(err)
		clear(data[:min(len(data), 200<<10)])
		m.must(os.WriteFile(file, data, 0o600))
	}
	t.dirty, t.struck = true, true
}

// packFiles are the packs of a vault, in the order of their names.
func packFiles(dir string) (all []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if name := strings.ReplaceAll(rel, "/", ""); err == nil && !d.IsDir() && (name[0] == 'p' || name[0] == 'q') {
			all = append(all, path)
		}
		return err
	})
	return all
}

// prune removes points of one vault and reclaims their space at once. What was struck may keep it from either, and loses nothing more.
func (m *model) prune(rt *rapid.T) {
	t := m.tier(rt)
	if len(t.holds) < 2 {
		return
	}
	lease, err := t.v.Own(m.t.Context(), "prune", true)
	m.must(err)
	defer lease.Release()
	ids := slices.Sorted(maps.Keys(t.holds))
	ids = ids[:rapid.IntRange(1, len(ids)-1).Draw(rt, "points")]
	_, err = lease.Remove(ids...)
	for _, id := range ids {
		delete(t.holds, id) // one that damage kept may be half gone: the next owner does the rest
	}
	if err == nil {
		_, err = t.v.Maintain(m.t.Context(), MaintainOptions{Full: true, Lease: lease})
	}
	if err != nil && !t.dirty && len(t.lost) == 0 {
		m.rt.Fatalf("%s: prune: %v", t.loc.Tier, err)
	}
}

// heal brings back what the other vault has: no point that this one holds whole is damaged afterwards.
func (m *model) heal(rt *rapid.T) { m.healOne(m.tier(rt)) }

func (m *model) healOne(t *modelTier) {
	if len(t.holds) == 0 {
		return
	}
	other := m.tiers[0]
	if t == other {
		other = m.tiers[1]
	}
	h, err := t.v.Heal(m.t.Context(), "", []*Vault{other.v}, VerifyOptions{Depth: Full})
	m.judge(t, h.Report, err)
	lost := map[string]bool{}
	for _, e := range h.Each {
		if e.Damaged == 0 {
			continue
		}
		lost[e.Point] = true
		if other.holds[e.Point] && !other.dirty && !other.lost[e.Point] {
			m.rt.Fatalf("%s: point %s stays damaged, and %s has it: %+v", t.loc.Tier, e.Point, other.loc.Tier, h)
		}
	}
	t.dirty, t.lost = false, lost
}

// settle heals both vaults, takes one more point, and reads everything that is promised.
func (m *model) settle() {
	for _, t := range m.tiers {
		m.healOne(t)
	}
	for _, t := range m.tiers {
		for id := range t.holds {
			if !t.lost[id] {
				m.whole(t, id)
			}
		}
	}
}
