package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// operator types commands at a lab of hosts and looks at what comes back.
type operator struct {
	t      *testing.T
	lab    *lab.Lab
	stdout string
	stderr string
}

// types runs a command line and demands its exit code.
func (o *operator) types(exit int, args ...string) {
	o.t.Helper()
	a, stdout, stderr := testApp("")
	a.env.Now = time.Now
	got := Main(o.t.Context(), append([]string{"-c", o.lab.Config()}, args...), a.env)
	o.stdout, o.stderr = stdout.String(), stderr.String()
	if got != exit {
		o.t.Fatalf("holdfast %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, exit, o.stdout, o.stderr)
	}
}

// sees demands that the command's output matches a pattern.
func (o *operator) sees(out, pattern string) {
	o.t.Helper()
	if !regexp.MustCompile("(?m)" + pattern).MatchString(out) {
		o.t.Errorf("no %q in:\n%s", pattern, out)
	}
}

// reads decodes the JSON on stdout into what is documented and nothing else.
func (o *operator) reads(into any) {
	o.t.Helper()
	d := json.NewDecoder(strings.NewReader(o.stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		o.t.Fatalf("decode: %v\n%s", err, o.stdout)
	}
}

// pointSummary is what points --json promises.
type pointSummary struct {
	ID          string                  `json:"id"`
	Cloud       string                  `json:"cloud"`
	Started     time.Time               `json:"started"`
	Finished    time.Time               `json:"finished"`
	State       point.State             `json:"state"`
	SkewSeconds float64                 `json:"skew_seconds"`
	Version     string                  `json:"holdfast_version"`
	Tiers       []point.Tier            `json:"tiers"`
	Notes       []string                `json:"notes"`
	Sources     map[string]point.Counts `json:"sources"`
}

// TestJourney takes a cloud of hosts from nothing to a verified point, then damages the vault.
func TestJourney(t *testing.T) {
	o := &operator{t: t, lab: labtest.New(t, labtest.Hosts)}
	o.types(5, "points")
	o.sees(o.stderr, `hint: .*holdfast init`)

	o.types(2, "init")
	o.sees(o.stderr, `add --yes`)
	var made initialized
	o.types(0, "init", "--yes", "--json")
	if o.reads(&made); made.Cloud != "lab" || made.Tier != "local" || made.Kit == "" || made.URL == "" {
		t.Errorf("init: %+v", made)
	}
	private(t, made.Kit)
	private(t, o.lab.Options.Dir+"/secrets/passphrase")
	o.types(0, "init", "--yes")
	o.sees(o.stdout, `kit confirm`)

	o.types(0, "points", "--json")
	if strings.TrimSpace(o.stdout) != "[]" {
		t.Errorf("no points are %q", o.stdout)
	}
	o.types(4, "show", "latest")
	o.types(4, "verify")
	o.types(1, "status")
	o.sees(o.stdout, `^kolla +none +none LATE .* never tried$`)

	o.types(2, "backup", "kola")
	o.types(2, "backup", "mariadb")
	o.types(2, "backup", "--parallel", "0")
	o.types(0, "backup", "--dry-run", "--json")
	var plans map[string]source.Plan
	if o.reads(&plans); len(plans["kolla"].Tasks) == 0 {
		t.Errorf("plans %+v", plans)
	}
	o.types(0, "backup", "--json")
	var taken point.Point
	if o.reads(&taken); taken.State != point.Complete || len(taken.Components) != len(plans["kolla"].Tasks) {
		t.Errorf("backup: %+v", taken)
	}
	for line := range strings.Lines(o.stderr) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON on stderr: %q", line)
		}
	}
	o.looksAt(taken)
	o.asksTheDoctor()
	o.damages(taken)
}

// looksAt asks for a point in every way.
func (o *operator) looksAt(taken point.Point) {
	t := o.t
	var all []pointSummary
	o.types(0, "points", "--json")
	if o.reads(&all); len(all) != 1 || all[0].ID != taken.ID || all[0].Sources["kolla"].Good != len(taken.Components) || len(all[0].Tiers) != 1 {
		t.Errorf("points: %+v", all)
	}
	o.types(0, "points")
	o.sees(o.stdout, `^`+taken.ID+` .* complete +kolla \d+/\d+ +never$`)
	o.types(4, "show", "2020")
	o.types(0, "verify", "--full", "--json")
	var whole []verified
	if o.reads(&whole); len(whole) != 1 || whole[0].Point != taken.ID || whole[0].Read == 0 || whole[0].Damaged == nil {
		t.Errorf("verify: %+v", whole)
	}
	o.types(2, "verify", "latest", "--all")
	o.types(2, "verify", "--percent", "101")
	var shown point.Point
	o.types(0, "show", "latest:kolla", "--json")
	if o.reads(&shown); shown.ID != taken.ID || len(shown.Tiers) != 1 || !shown.Tiers[0].Held || shown.Tiers[0].Verified == nil {
		t.Errorf("show: %+v", shown.Tiers)
	}
	o.types(0, "show", taken.ID[:12])
	o.sees(o.stdout, `^state +complete$`)
	o.sees(o.stdout, `^tier local holds it, verified `)
	o.sees(o.stdout, `^  proof +.*archive_end=true`)
	var seen coverage.Overview
	o.types(0, "status", "--json")
	if o.reads(&seen); seen.Points != 1 || seen.Kit == "" || len(seen.Components) != len(taken.Components) || seen.Components[0].Verified == nil {
		t.Errorf("status: %+v", seen)
	}
}

// asksTheDoctor has it find a kit that is not stored, a passphrase that others can read, and neither.
func (o *operator) asksTheDoctor() {
	t := o.t
	passphrase := filepath.Join(o.lab.Options.Dir, "secrets/passphrase")
	if err := os.Chmod(passphrase, 0o644); err != nil {
		t.Fatal(err)
	}
	o.types(0, "doctor")
	o.sees(o.stdout, `^warn +kit +confirmed `)
	o.sees(o.stdout, `^to mend setup secret in passphrase: chmod 600 `)
	if err := os.Chmod(passphrase, 0o600); err != nil {
		t.Fatal(err)
	}
	o.types(0, "kit", "write", "--json")
	var kept keptKit
	o.types(0, "kit", "confirm", "--json")
	if o.reads(&kept); kept.Confirmed == nil || kept.Kit == "" {
		t.Errorf("kit: %+v", kept)
	}
	o.types(0, "doctor", "--json")
	var areas []area
	o.reads(&areas)
	found := map[string]bool{}
	for _, ar := range areas {
		for _, c := range ar.Checks {
			found[ar.Area] = true
			if c.Status == source.Fail || (ar.Area == "kit" || ar.Area == "setup") && c.Status != source.OK {
				t.Errorf("%s: %+v", ar.Area, c)
			}
		}
	}
	for _, want := range []string{"setup", "vault", "kit", "host", "kolla"} {
		if !found[want] {
			t.Errorf("doctor looked at no %s", want)
		}
	}
	o.types(0, "doctor")
	o.sees(o.stdout, `^ok +host +clocks +those of [4-9] hosts differ by at most 0\.\d\d s$`)
}

// damages a pack of the vault, hides its passphrase, and finds both told apart.
func (o *operator) damages(taken point.Point) {
	t := o.t
	dir := filepath.Join(o.lab.Options.Dir, "vault")
	var pack string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(strings.TrimPrefix(path, dir), "/p") && strings.HasSuffix(path, ".f") {
			pack = path
		}
		return err
	})
	if err != nil || pack == "" {
		t.Fatalf("find a pack in %s: %q, %v", dir, pack, err)
	}
	if err := os.Truncate(pack, 100); err != nil {
		t.Fatal(err)
	}
	o.types(7, "verify", taken.ID, "--json")
	o.types(7, "status")
	o.sees(o.stdout, ` DAMAGED `)
	passphrase := filepath.Join(o.lab.Options.Dir, "secrets/passphrase")
	if err := os.WriteFile(passphrase, []byte("not the one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.types(5, "points")
	o.sees(o.stderr, `wrong passphrase`)
	o.types(1, "doctor")
	o.sees(o.stdout, `^fail +vault +local `)
	if err := os.Remove(passphrase); err != nil {
		t.Fatal(err)
	}
	o.types(5, "init", "--yes")
	o.sees(o.stderr, `recovery kit`)
	if _, err := os.Stat(passphrase); err == nil {
		t.Error("init hid the passphrase of a vault behind a new one")
	}
}

// private demands that nobody but the owner can read a file, or a directory and all in it.
func private(t *testing.T, path string) {
	t.Helper()
	err := filepath.Walk(path, func(file string, info fs.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBackupIsBusyOrPartial: a lock that somebody holds is 6, a host that is down is 3 and named.
func TestBackupIsBusyOrPartial(t *testing.T) {
	o := &operator{t: t, lab: labtest.New(t, labtest.Hosts)}
	o.types(0, "init", "--yes")
	a, _, _ := testApp("")
	a.file = o.lab.Config()
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.openVault(t.Context(), cfg, cfg.Tiers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close(t.Context())
	unlock, err := v.Lock("kolla")
	if err != nil {
		t.Fatal(err)
	}
	// Nothing that takes time comes before: an inventory that cannot be read is not missed.
	inventory := filepath.Join(o.lab.Options.Dir, "deploy/inventory")
	if err := os.Rename(inventory, inventory+".away"); err != nil {
		t.Fatal(err)
	}
	o.types(6, "backup")
	o.sees(o.stderr, `locked by process \d+`)
	unlock()
	o.types(2, "backup")
	if err := os.Rename(inventory+".away", inventory); err != nil {
		t.Fatal(err)
	}
	o.loses("ctl3")
	o.types(3, "backup", "--quiet")
	o.sees(o.stderr, `is partial, it lacks: kolla ctl3 \(skipped: `)
	o.types(4, "show", "latest")
	o.types(0, "show", "20")
	o.sees(o.stdout, `^state +partial$`)
}

// TestRenamedCloud: points of the name before are not shown, but never without a word.
func TestRenamedCloud(t *testing.T) {
	o := &operator{t: t, lab: labtest.New(t, labtest.Hosts)}
	o.types(0, "init", "--yes")
	o.types(0, "backup", "--quiet")
	o.types(0, "doctor")
	o.sees(o.stdout, `^ok +vault +cloud +it holds 1 points of cloud lab$`)
	o.types(0, "points")
	if o.stderr != "" {
		t.Errorf("a warning without a cause: %q", o.stderr)
	}
	o.renames("cloud: lab", "cloud: paris")
	const told = `the vault also holds 1 point of cloud lab, .*write cloud: lab in .*holdfast.yml again`
	o.types(0, "points", "--json")
	o.sees(o.stderr, told)
	if strings.TrimSpace(o.stdout) != "[]" {
		t.Errorf("points %s", o.stdout)
	}
	o.types(4, "show", "latest")
	o.sees(o.stderr, told)
	var seen coverage.Overview
	o.types(1, "status", "--json")
	if o.reads(&seen); seen.Points != 0 || seen.Others["lab"] != 1 {
		t.Errorf("status: %+v", seen)
	}
	o.sees(o.stderr, told)
	o.types(0, "backup", "--quiet")
	o.sees(o.stderr, told)
	o.types(0, "doctor")
	o.sees(o.stdout, `^warn +vault +cloud +it holds 1 points of cloud paris, and 1 point of cloud lab, which no command shows$`)
	o.sees(o.stdout, `^to mend vault cloud: .*write cloud: lab in .*holdfast.yml again`)
	o.renames("cloud: paris", "cloud: lab")
	o.types(0, "show", "latest")
	o.sees(o.stdout, `^cloud +lab$`)
}

// renames replaces a text in holdfast.yml.
func (o *operator) renames(old, text string) {
	o.t.Helper()
	was, err := os.ReadFile(o.lab.Config())
	if err != nil || !bytes.Contains(was, []byte(old)) {
		o.t.Fatalf("no %q in %s: %v", old, was, err)
	}
	if err := os.WriteFile(o.lab.Config(), bytes.Replace(was, []byte(old), []byte(text), 1), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// loses makes a host unreachable: the inventory names a port that nobody listens on.
func (o *operator) loses(host string) {
	o.t.Helper()
	file := filepath.Join(o.lab.Options.Dir, "deploy/inventory/host_vars", host+".yml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("ansible_port: 1\n"), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// TestInitDiscovers writes a configuration of what it found, which says what it was told and can be read.
func TestInitDiscovers(t *testing.T) {
	l, dir := labtest.New(t, labtest.Hosts), t.TempDir()
	a, stdout, stderr := testApp("")
	file := filepath.Join(dir, "etc", "holdfast.yml")
	args := []string{
		"-c", file, "init", "--yes", "--json", "--inventory", filepath.Join(l.Options.Dir, "deploy/inventory/multinode"),
		"--kolla-config", filepath.Join(l.Options.Dir, "deploy/kolla"), "--vault", filepath.Join(dir, "vault"), "--state", filepath.Join(dir, "state"),
	}
	if code := Main(t.Context(), args, a.env); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var made initialized
	if err := json.Unmarshal(stdout.Bytes(), &made); err != nil || made.Cloud == "" {
		t.Errorf("%q: %v", stdout, err)
	}
	private(t, filepath.Join(dir, "etc", "passphrase"))
	private(t, filepath.Join(dir, "state", "kit"))
	private(t, filepath.Join(dir, "vault"))
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if code := Main(t.Context(), []string{"-c", file, "config", "check"}, a.env); code != 0 {
		t.Errorf("config check: exit %d: %s", code, stderr)
	}
	if code := Main(t.Context(), args, a.env); code != 0 {
		t.Errorf("again: exit %d: %s", code, stderr)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("init wrote its file again: %v", err)
	}
}
