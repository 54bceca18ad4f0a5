package vault

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/point"
)

// prunerEnv makes the test binary a process that removes the first points of the vault it names and reclaims their space in
// as many cycles as that takes, some hours after they were written, and says what it does.
const prunerEnv = "HOLDFAST_TEST_PRUNER"

// The points that a pruner finds and removes, and how old they are.
const (
	prunable = 9
	prunes   = 6
	prunedAt = 30 * time.Hour
)

func prune(loc Location) error {
	ctx := context.Background()
	off := longAgo + prunedAt
	now = func() time.Time { return time.Now().Add(off) }
	v, err := Open(ctx, loc, testPass, OpenOptions{Cloud: testCloud})
	if err != nil {
		return err
	}
	v.store.Storage = stamped{v.store.Storage}
	l, err := v.Own(ctx, "prune", false)
	if err != nil {
		return err
	}
	fmt.Println("remove")
	points, err := v.Points(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, p := range points {
		if p.ID < pointName(prunes) {
			ids = append(ids, p.ID)
		}
	}
	for some := range slices.Chunk(ids, 2) {
		if _, err := l.Remove(some...); err != nil {
			return err
		}
	}
	orphans, err := v.Orphans(ctx)
	if err == nil {
		err = v.Sweep(ctx, slices.DeleteFunc(orphans, func(o Orphan) bool { return o.Source != "mariadb" || o.Point == "r-beside" })...)
	}
	if err != nil {
		return err
	}
	fmt.Println("reclaim")
	for range cyclesToFree + 1 {
		if _, err := v.Maintain(ctx, MaintainOptions{Full: true, Lease: l}); err != nil {
			return err
		}
		off += CycleApart
	}
	l.Release()
	fmt.Println("end")
	return v.Close(ctx)
}

func pointName(n int) string { return fmt.Sprintf("p%04d", n) }

// pruner is such a process on its way, which has come to what it said last.
type pruner struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startPruner(t *testing.T, loc Location) *pruner {
	t.Helper()
	p := &pruner{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), prunerEnv+"="+loc.URL)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	check(t, err)
	p.lines = bufio.NewScanner(out)
	check(t, p.cmd.Start())
	return p
}

// reach waits until it says so, and returns how long that took.
func (p *pruner) reach(t *testing.T, what string) time.Duration {
	t.Helper()
	began := time.Now()
	for p.lines.Scan() {
		if p.lines.Text() == what {
			return time.Since(began)
		}
	}
	t.Fatalf("it ended before %q", what)
	return 0
}

// kill ends it some time from now, and reports whether it was still on its way.
func (p *pruner) kill(t *testing.T, after time.Duration) bool {
	t.Helper()
	timer := time.AfterFunc(after, func() { _ = p.cmd.Process.Kill() }) // told by its end
	defer timer.Stop()
	for p.lines.Scan() {
	}
	return p.cmd.Wait() != nil
}

// moments is how many kills each phase gets: five, or what HOLDFAST_SOAK says.
func moments() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 5
}

// TestSoakKilledPrune kills a process that removes points, and one that reclaims their space, at seeded moments, beside a run that
// shares what is on its way out. Every point that is listed then can be restored whole, the run is sealed well, and the next owner
// does the rest at once.
func TestSoakKilledPrune(t *testing.T) {
	advance := clock(t)
	first := newStamped(t)
	for n := range prunable {
		noisyPoint(t, first, n, 100<<10)
	}
	advance(prunedAt)
	measured := copied(t, first.Location())
	p := startPruner(t, measured)
	p.reach(t, "remove")
	phases := map[string]time.Duration{"remove": p.reach(t, "reclaim"), "reclaim": p.reach(t, "end")}
	check(t, p.cmd.Wait())
	dice := rand.New(rand.NewPCG(3, 5))
	for _, phase := range []string{"remove", "reclaim"} {
		for met, tries := 0, 0; met < moments(); tries++ {
			if tries > 4*moments() {
				t.Fatalf("only %d of %d kills met the phase %q", met, moments(), phase)
			}
			after := time.Duration(dice.Float64() * float64(phases[phase]))
			t.Run(fmt.Sprint(phase, tries), func(t *testing.T) {
				if killedPrune(t, copied(t, first.Location()), phase, after, tries%2 == 0) {
					met++
				}
			})
		}
	}
}

// TestCutRemoval cuts a removal after each of its steps: what is listed then is whole, and the next owner does the rest of what was
// begun with.
func TestCutRemoval(t *testing.T) {
	advance := clock(t)
	first := newStamped(t)
	for n := range 3 {
		noisyPoint(t, first, n, 10<<10)
	}
	advance(prunedAt)
	for steps, want := range []int{3, 2, 1, 1} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			ctx, loc := t.Context(), copied(t, first.Location())
			v := openVault(t, loc)
			r, err := v.planRemoval(ctx, []string{pointName(0), pointName(1)})
			check(t, err)
			_, err = v.announceRemoval(ctx, r.points)
			check(t, err)
			for _, step := range []func() error{
				func() error { return v.dropRecord(ctx, pointName(0)) },
				func() error { return v.dropRecord(ctx, pointName(1)) },
				func() error { return v.forget(ctx, r.seals...) },
			}[:steps] {
				check(t, step())
			}
			left := 3
			if steps == 3 {
				left = 1
			}
			allWhole(t, loc, left)
			v = openVault(t, loc)
			points, err := v.Points(ctx)
			check(t, err)
			leaving, err := v.Leaving(ctx)
			check(t, err)
			if stay := slices.DeleteFunc(points, func(p point.Point) bool { return slices.Contains(leaving, p.ID) }); len(stay) != want {
				t.Errorf("%d points will stay, of %d; leaving: %q", len(stay), want, leaving)
			}
			own(t, v, false).Release()
			allWhole(t, loc, want)
			begun, err := v.removals(ctx)
			check(t, err)
			if len(begun) > 0 {
				t.Errorf("still announced: %v", begun)
			}
		})
	}
}

// copied makes a copy of a vault whose blobs are as old as they were.
func copied(t *testing.T, loc Location) Location {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "vault")
	check(t, os.CopyFS(dir, os.DirFS(loc.URL)))
	at := time.Now().Add(longAgo)
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, at, at)
	}))
	return Location{Tier: "local", URL: dir}
}

// killedPrune reports whether the kill met a process that was still on its way.
func killedPrune(t *testing.T, loc Location, phase string, after time.Duration, beside bool) (met bool) {
	v := openVault(t, loc)
	v.store.Storage = stamped{v.store.Storage}
	end := func() {}
	if beside {
		end = runBeside(t, v, own0(100<<10))
	}
	p := startPruner(t, loc)
	p.reach(t, phase)
	met = p.kill(t, after)
	t.Logf("killed %v into it: %v", after, met)
	left, err := v.Points(t.Context())
	check(t, err)
	allWhole(t, loc, len(left))
	end()
	own(t, v, false).Release() // what was killed is in nobody's way

	p = startPruner(t, loc)
	p.reach(t, "end")
	check(t, p.cmd.Wait())
	want := prunable - prunes
	if beside {
		want++
	}
	allWhole(t, loc, want)
	if orphans := openVault(t, loc).mustOrphans(t); len(orphans) > 0 {
		t.Errorf("left: %v", orphans)
	}
	return met
}

// runBeside writes data that a point has, and seals it in the end.
func runBeside(t testing.TB, v *Vault, data []byte) (end func()) {
	unlock, err := v.Lock("mariadb")
	check(t, err)
	s := begin(t, v, "r-beside", "mariadb")
	check(t, s.WriteFile("db/own", meta(0o600), data))
	_, err = s.Finish("db")
	check(t, err)
	return func() {
		_, err := s.Seal(t.Context(), nil, nil)
		check(t, err)
		sealPoint(t, v, "r-beside", good("mariadb", "db"))
		unlock()
	}
}

func allWhole(t *testing.T, loc Location, points int) {
	t.Helper()
	v := openVault(t, loc)
	r, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full})
	if err != nil || r.Points != points || len(r.Damaged) > 0 {
		t.Errorf("%d points were to be whole: %+v, %v", points, r, err)
	}
}
