package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// tiersOf makes a vault with daily points in each of the named tiers and returns the configuration.
func tiersOf(t *testing.T, first time.Time, days int, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := "cloud: test\nstate: state\ntiers:\n"
	var hash secret.Secret // by which contents have one name in all tiers
	for _, name := range names {
		loc := vault.Location{Tier: name, URL: "file://" + filepath.Join(dir, name)}
		text += fmt.Sprintf("  - {name: %s, url: 'file:%s', passphrase: {file: pass}, reserve: 0%%, keep: {last: 2}}\n", name, name)
		if err := vault.Create(t.Context(), loc, secret.New("words"), vault.CreateOptions{Cloud: "test", HashSecret: hash}); err != nil {
			t.Fatal(err)
		}
		v, err := vault.Open(t.Context(), loc, secret.New("words"), vault.OpenOptions{Cloud: "test"})
		if err != nil {
			t.Fatal(err)
		}
		hash = v.HashSecret()
		for day := range days {
			at := first.AddDate(0, 0, day)
			p := point.Point{ID: point.NewID(at)[:15], Cloud: "test", Started: at, Finished: at, State: point.Complete}
			p.Components = []point.Component{{Source: "kolla", Name: "ctl1", State: point.Good, Required: true, Started: at}}
			if err := v.SealPoint(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"pass": "words\n", "holdfast.yml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "holdfast.yml")
}

// TestPruneAndHolds: what would leave, which of it a hold keeps in which tier, and that nothing leaves the first tier before
// the next one is known to have it.
func TestPruneAndHolds(t *testing.T) {
	first := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	file := tiersOf(t, first, 4, "local", "far")
	run := func(args ...string) (int, string, string) {
		a, stdout, stderr := testApp("")
		env := a.env
		env.Now = func() time.Time { return first.AddDate(0, 0, 3).Add(time.Hour) }
		env.Getenv = func(name string) string { return map[string]string{"SUDO_USER": "ann"}[name] }
		return Main(t.Context(), append(args, "-c", file), env), stdout.String(), stderr.String()
	}
	if code, _, errs := run("prune", "far"); code != 1 || !strings.Contains(errs, "--confirm 2") {
		t.Errorf("with a clock that is wrong: %d %s", code, errs)
	}
	if code, out, errs := run("points", "hold", "20260301", "--reason", "audit"); code != 0 || strings.Count(out, "is on hold in tier") != 2 {
		t.Fatalf("hold: %d %s %s", code, out, errs)
	}
	code, out, errs := run("prune", "--dry-run")
	for _, want := range []string{
		"keep    on hold: audit", "keep  tier far has no verified copy of it yet", "tier local: of 4 points 0 would leave\n",
		"remove  no rule wants it, begun 2 days ago\n", "tier far: of 4 points 1 would leave\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d: no %q in\n%s%s", code, want, out, errs)
		}
	}
	code, out, _ = run("points", "release", "20260301", "--tier", "far", "--json")
	var released []heldIn
	if err := json.Unmarshal([]byte(out), &released); code != 0 || err != nil || len(released) != 1 || released[0] != (heldIn{"20260301-020000", "far", nil}) {
		t.Errorf("release: %d %s", code, out)
	}
	code, out, _ = run("prune", "--dry-run", "--tier", "far", "--json")
	var plans []pruned
	if err := json.Unmarshal([]byte(out), &plans); code != 0 || err != nil || len(plans) != 1 || plans[0].Removed != 2 || !plans[0].DryRun || plans[0].NeedsConfirmation {
		t.Errorf("json: %d %v %s", code, err, out)
	}
	if code, out, _ := run("points"); code != 0 || !strings.Contains(out, "kolla 1/1  never     on hold: audit\n") {
		t.Errorf("points: %d %s", code, out)
	}
	if code, out, _ := run("show", "20260301", "--json"); code != 0 || !strings.Contains(out, `"keep_reason": "on hold: audit"`) {
		t.Errorf("show: %d %s", code, out)
	}
}

// TestDamageFoundElsewhere: that the newest point is damaged is known to a host that did not find it, and the sound one before it stays.
func TestDamageFoundElsewhere(t *testing.T) {
	p := newPlaces(t, "local")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	before := p.blobsOf("local", "p")
	p.takes("p2", "two")
	for _, pack := range p.blobsOf("local", "p") {
		if !slices.Contains(before, pack) {
			p.spoils(pack)
		}
	}
	p.types(7, "verify", "--full", "--all")
	config, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("/state\n", "/other\n", "keep: 7d", "keep: {last: 1}").Replace(string(config))
	if err := os.WriteFile(p.file(), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	p.types(0, "prune", "--dry-run")
	p.sees(`^tier local: of 2 points 0 would leave$`)
}

// TestNextTierHasLostItsPacks: what the next tier lists and its store has no more lets nothing leave, although nobody has verified it since.
func TestNextTierHasLostItsPacks(t *testing.T) {
	p := newPlaces(t, "local", "disk")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	p.takes("p2", "two")
	p.types(0, "replicate")
	p.keeps("{last: 1}", "7d")
	p.types(0, "prune", "local", "--dry-run")
	p.sees(`^tier local: of 2 points 1 would leave$`)
	for _, pack := range p.blobsOf("disk", "p") {
		p.loses(pack)
	}
	p.types(0, "prune", "local", "--dry-run")
	p.sees(`^tier local: of 2 points 0 would leave$`)
}

// TestNewestHasLostItsPacks: the sound point before it stays, although nobody has verified it since.
func TestNewestHasLostItsPacks(t *testing.T) {
	p := newPlaces(t, "local")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	before := p.blobsOf("local", "p")
	p.takes("p2", "two")
	p.keeps("{last: 1}")
	p.types(0, "prune", "--dry-run")
	p.sees(`^tier local: of 2 points 1 would leave$`)
	for _, pack := range p.blobsOf("local", "p") {
		if !slices.Contains(before, pack) {
			p.loses(pack)
		}
	}
	p.types(0, "prune", "--dry-run")
	p.sees(`^tier local: of 2 points 0 would leave$`)
}

// keeps gives each tier a rule of its own, in their order.
func (p *places) keeps(rules ...string) {
	p.t.Helper()
	config, err := os.ReadFile(p.file())
	if err != nil {
		p.t.Fatal(err)
	}
	parts := strings.SplitAfter(string(config), "keep: 7d")
	for n, rule := range rules {
		parts[n] = strings.TrimSuffix(parts[n], "7d") + rule
	}
	if err := os.WriteFile(p.file(), []byte(strings.Join(parts, "")), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *places) loses(file string) {
	p.t.Helper()
	if err := os.Remove(file); err != nil {
		p.t.Fatal(err)
	}
}

func TestHoldProblems(t *testing.T) {
	file := tiersOf(t, time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), 1, "local", "far")
	run := func(args ...string) (int, string) {
		a, _, stderr := testApp("")
		return Main(t.Context(), append(args, "-c", file), a.env), stderr.String()
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"points", "hold", "20260301"}, 2, "reason"},
		{[]string{"points", "hold", "20260301", "--reason", "a\nb"}, 2, "a line of text"},
		{[]string{"points", "hold", "2027", "--reason", "x"}, 4, "no point is named"},
		{[]string{"points", "release", "20260301"}, 4, "is not on hold"},
		{[]string{"points", "what"}, 2, "what"},
		{[]string{"prune", "--dry-run", "--tier", "moon"}, 2, `no tier is named "moon"`},
	} {
		if code, errs := run(c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
	if err := os.RemoveAll(filepath.Join(filepath.Dir(file), "far")); err != nil {
		t.Fatal(err)
	}
	if code, errs := run("points", "hold", "20260301", "--reason", "x"); code != 3 || !strings.Contains(errs, "far") {
		t.Errorf("one tier away: %d %s", code, errs)
	}
	if code, errs := run("prune", "--dry-run"); code != 5 || !strings.Contains(errs, "far") {
		t.Errorf("one tier away: %d %s", code, errs)
	}
}
