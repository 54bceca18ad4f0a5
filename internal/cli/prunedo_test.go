package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// pruneSite is a cloud with a tier of daily points, the last of today, and an empty tier after it; both keep two points.
type pruneSite struct {
	t    *testing.T
	file string
	ids  []string
	now  func() time.Time
	out  string
	errs string
}

func newPruneSite(t *testing.T, days int) *pruneSite {
	first := time.Now().UTC().AddDate(0, 0, 1-days).Add(-time.Hour).Truncate(time.Second)
	s := &pruneSite{t: t, file: tiersOf(t, first, days, "local"), now: time.Now}
	for day := range days {
		s.ids = append(s.ids, point.NewID(first.AddDate(0, 0, day))[:15])
	}
	v := s.open("local")
	defer v.Close(t.Context())
	far := vault.Location{Tier: "far", URL: "file://" + filepath.Join(filepath.Dir(s.file), "far")}
	if err := vault.Create(t.Context(), far, secret.New("words"), vault.CreateOptions{Cloud: "test", HashSecret: v.HashSecret()}); err != nil {
		t.Fatal(err)
	}
	s.add("  - {name: far, url: 'file:far', passphrase: {file: pass}, reserve: 0%, keep: {last: 2}}\n")
	return s
}

func (s *pruneSite) add(text string) {
	s.t.Helper()
	data, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file, append(data, text...), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *pruneSite) open(name string) *vault.Vault {
	s.t.Helper()
	a, _, _ := testApp("")
	cfg, err := config.Load(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	t, err := tierNamed(cfg, name)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := a.openVault(s.t.Context(), cfg, t)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// want runs a command that ends with code and says text.
func (s *pruneSite) want(code int, text string, args ...string) {
	s.t.Helper()
	a, stdout, stderr := testApp("")
	env := a.env
	env.Now = s.now
	got := Main(s.t.Context(), append(args, "-c", s.file), env)
	s.out, s.errs = stdout.String(), stderr.String()
	if got != code || !strings.Contains(s.out+s.errs, text) {
		s.t.Fatalf("%v: %d instead of %d, or no %q in\n%s%s", args, got, code, text, s.out, s.errs)
	}
}

func (s *pruneSite) points(tier string, want ...string) {
	s.t.Helper()
	v := s.open(tier)
	defer v.Close(s.t.Context())
	points, err := v.Points(s.t.Context())
	var ids []string
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	if err != nil || fmt.Sprint(ids) != fmt.Sprint(want) {
		s.t.Errorf("tier %s has %v, want %v, %v", tier, ids, want, err)
	}
}

// TestPruneRemoves: what no rule wants goes, from the first tier only what the next one holds whole; the next prune finds nothing
// to do, and a replication does not bring back what a tier's own rules let go.
func TestPruneRemoves(t *testing.T) {
	s := newPruneSite(t, 4)
	s.want(0, "tier far: 4 points copied", "replicate", "--point", s.ids[0], "--point", s.ids[1], "--point", s.ids[2], "--point", s.ids[3])
	s.want(0, "tier local: of 4 points 2 are to be removed\ntier local: 2 points were removed, 2 stay\n", "prune", "local", "--yes")
	s.points("local", s.ids[2:]...)
	s.want(0, "tier far: 2 points were removed, 2 stay\n", "prune", "far", "--yes")
	s.points("far", s.ids[2:]...)
	s.want(0, "tier far: 0 points copied from local, 2 held before", "replicate")
	s.want(0, "tier local: 0 points were removed, 2 stay\n", "prune", "--yes")
	s.want(0, `"dry_run": true`, "prune", "--dry-run", "--json")
	var plans []pruned
	if err := json.Unmarshal([]byte(s.out), &plans); err != nil || len(plans) != 2 || plans[0].Reclaim.Back == nil || plans[0].Reclaim.Waiting == 0 {
		t.Errorf("%v %s", err, s.out)
	}
}

// TestReplicateSendsWhatIsWanted: what the next tier would let go at once is not sent to it, with the reason, and may leave the
// first tier without a copy there; what it wants may not.
func TestReplicateSendsWhatIsWanted(t *testing.T) {
	s := newPruneSite(t, 4)
	s.want(0, "point "+s.ids[0]+" is not sent to tier far: no rule wants it", "replicate", "--dry-run")
	s.want(0, "tier local: 2 points were removed, 2 stay\n", "prune", "local", "--yes")
	s.points("local", s.ids[2:]...)
	s.want(0, "tier far: 2 points copied", "replicate")
	s.points("far", s.ids[2:]...)
}

// TestNextTierCannotBeAsked: nothing leaves that it should have.
func TestNextTierCannotBeAsked(t *testing.T) {
	s := newPruneSite(t, 4)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(s.file), "far")); err != nil {
		t.Fatal(err)
	}
	s.want(0, "tier far cannot be asked what it has", "prune", "local", "--yes")
	s.points("local", s.ids...)
}

// TestPruneInDoubt: what changed suddenly is not done out of habit.
func TestPruneInDoubt(t *testing.T) {
	s := newPruneSite(t, 14)
	s.want(0, "12 of the 14 points with something good in them would leave at once", "prune", "local", "--dry-run")
	s.want(1, "holdfast prune local --confirm 12", "prune", "local", "--yes")
	s.want(2, "12 points would leave, not 11", "prune", "local", "--confirm", "11")
	s.want(2, "--confirm is for one tier", "prune", "--confirm", "12")
	s.points("local", s.ids...)
	s.want(0, "12 points were removed, 2 stay", "prune", "local", "--confirm", "12")
	s.points("local", s.ids[12:]...)
	s.now = func() time.Time { return time.Now().AddDate(0, 0, 30) }
	s.want(0, "the clock of the vault's store is 30 days from that of this host", "prune", "local", "--yes")
}

// replace changes the configuration.
func (s *pruneSite) replace(old, text string) {
	s.t.Helper()
	data, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file, []byte(strings.ReplaceAll(string(data), old, text)), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestPruneLeftovers: what a killed run left goes with its reason, once no run of its source is on its way; and an exclusive prune
// waits for nobody's end but says who is in the way.
func TestPruneLeftovers(t *testing.T) {
	s := newPruneSite(t, 2)
	v := s.open("local")
	defer v.Close(t.Context())
	session, err := v.Begin(t.Context(), "killed", "kolla")
	if err == nil {
		_, err = session.Seal(t.Context(), map[string]string{"point": "killed"}, nil)
	}
	unlock, lerr := v.Lock("kolla")
	if err != nil || lerr != nil {
		t.Fatal(err, lerr)
	}
	s.want(0, "what killed runs left of kolla stays for now", "prune", "local", "--yes")
	s.want(6, "it is in use: kolla, process", "prune", "local", "--exclusive", "--yes")
	unlock()
	s.want(0, "kolla of run killed: no point names it", "prune", "local", "--exclusive", "--yes")
	if left, err := v.Orphans(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	s.points("local", s.ids...)
}
