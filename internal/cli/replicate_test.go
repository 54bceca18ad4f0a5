package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/stream"
	"holdfast/internal/tier"
	"holdfast/internal/vault"
)

// places is an operator with three tiers on this machine and no cloud.
type places struct {
	t      *testing.T
	dir    string
	stdout string
	stderr string
}

func newPlaces(t *testing.T, tiers ...string) *places {
	p := &places{t: t, dir: t.TempDir()}
	p.configure(tiers...)
	return p
}

// configure writes holdfast.yml with these tiers.
func (p *places) configure(tiers ...string) {
	text := fmt.Sprintf("cloud: lab\nstate: %s/state\ntiers:\n", p.dir)
	for _, name := range tiers {
		text += fmt.Sprintf("  - {name: %[1]s, url: 'file://%[2]s/%[1]s', passphrase: {file: %[2]s/%[1]s.pass}, keep: 7d}\n", name, p.dir)
	}
	if err := os.WriteFile(p.file(), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *places) file() string { return filepath.Join(p.dir, "holdfast.yml") }

func (p *places) types(exit int, args ...string) {
	p.t.Helper()
	a, stdout, stderr := testApp("")
	a.env.Now = time.Now
	got := Main(p.t.Context(), append([]string{"-c", p.file()}, args...), a.env)
	p.stdout, p.stderr = stdout.String(), stderr.String()
	if got != exit {
		p.t.Fatalf("holdfast %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, exit, p.stdout, p.stderr)
	}
}

func (p *places) sees(pattern string) {
	p.t.Helper()
	if !regexp.MustCompile("(?m)" + pattern).MatchString(p.stdout + p.stderr) {
		p.t.Errorf("no %q in:\n%s%s", pattern, p.stdout, p.stderr)
	}
}

// open opens the vault of a tier as the configuration names it.
func (p *places) open(name string) *vault.Vault {
	p.t.Helper()
	a, _, _ := testApp("")
	cfg, err := config.Load(p.file())
	if err != nil {
		p.t.Fatal(err)
	}
	t, err := tierNamed(cfg, name)
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := a.openVault(p.t.Context(), cfg, t)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// takes seals a point with a file of the host ctl1 in the first tier.
func (p *places) takes(id, text string) {
	p.t.Helper()
	p.tookAt(time.Now(), id, text)
}

// tookAt is takes of a run that was begun at a time.
func (p *places) tookAt(at time.Time, id, text string) {
	p.t.Helper()
	v := p.open("local")
	defer v.Close(p.t.Context())
	s, err := v.Begin(p.t.Context(), id, "kolla")
	if err != nil {
		p.t.Fatal(err)
	}
	meta := stream.Meta{Mode: 0o600, ModTime: time.Unix(1000, 0), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if err := s.WriteFile("kolla/ctl1/etc/kolla/globals.yml", meta, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := s.Seal(p.t.Context(), nil, nil); err != nil {
		p.t.Fatal(err)
	}
	c := point.Component{Source: "kolla", Name: "ctl1", Kind: point.Files, Path: "kolla/ctl1", State: point.Good, Started: at}
	if err := v.SealPoint(p.t.Context(), point.Point{ID: id, Cloud: "lab", Started: at, State: point.Complete, Components: []point.Component{c}}); err != nil {
		p.t.Fatal(err)
	}
}

// TestShortKeepBetweenTiers: what a tier in the middle would let go at once, since it was away for so long, still comes to the one after
// it that wants it, once, and leaves the first tier only then.
func TestShortKeepBetweenTiers(t *testing.T) {
	p := newPlaces(t, "local", "disk", "offsite")
	text, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	for tier, keep := range map[string]string{"local": "30d", "offsite": "1y"} {
		text = regexp.MustCompile("(name: "+tier+".*keep: )7d").ReplaceAll(text, []byte("${1}"+keep+", reserve: 0%"))
	}
	if err := os.WriteFile(p.file(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.types(0, "init", "--yes")
	p.tookAt(time.Now().Add(-40*config.Day), "p1", "one")
	p.takes("p2", "two")
	away := filepath.Join(p.dir, "away")
	if err := os.Rename(filepath.Join(p.dir, "offsite"), away); err != nil {
		t.Fatal(err)
	}
	p.types(0, "prune", "local", "--dry-run")
	p.sees(`tier offsite cannot be asked what it wants of tier local`)
	p.sees(`^tier local: of 2 points 0 would leave$`)
	p.types(0, "replicate", "disk", "--dry-run")
	p.sees(`tier offsite cannot be asked what it wants of tier local`)
	if err := os.Rename(away, filepath.Join(p.dir, "offsite")); err != nil {
		t.Fatal(err)
	}
	p.types(0, "prune", "local", "--dry-run")
	p.sees(`^tier local: of 2 points 0 would leave$`)
	p.types(0, "replicate")
	p.sees(`^tier disk: 2 points copied from local`)
	p.sees(`^tier offsite: 2 points copied from disk`)
	p.types(0, "prune", "disk", "--confirm", "1")
	p.sees(`^tier disk: 1 points were removed, 1 stay$`)
	p.types(0, "replicate")
	p.sees(`^tier disk: 0 points copied from local`)
	p.types(0, "prune", "local", "--dry-run")
	p.sees(`^tier local: of 2 points 1 would leave$`)
}

// TestReplicateCommand brings points down three tiers, reads them there, loses the first tier and fills it again.
func TestReplicateCommand(t *testing.T) {
	p := newPlaces(t, "local")
	p.types(0, "init", "--yes")
	p.types(2, "replicate")
	p.sees(`add another tier`)
	p.takes("p1", "one")
	p.configure("local", "disk", "offsite")
	p.types(2, "replicate")
	p.sees(`passphrase of tier disk`)
	p.types(0, "init", "--yes")
	p.sees(`^vault of tier offsite: `)
	for _, file := range []string{"local.passphrase", "disk.passphrase", "offsite.kopia.repository"} {
		if _, err := os.Stat(filepath.Join(p.dir, "state", "kit", file)); err != nil {
			t.Error(err)
		}
	}
	p.takes("p2", "two")

	p.types(0, "doctor")
	p.sees(`^warn +tier disk +points +lacks 2 of the first tier's 2, the newest p2$`)
	p.types(0, "replicate", "disk", "--dry-run", "--json")
	if res := p.replicated(); len(res) != 1 || len(res[0].Points) != 2 || res[0].Points[0].State != tier.Lacking || !res[0].DryRun {
		t.Errorf("dry run %+v", res)
	}
	p.types(0, "replicate", "disk", "--point", "p1")
	p.sees(`^tier disk: 1 points copied from local, 0 held before`)
	p.types(4, "replicate", "disk", "--point", "p7")
	p.types(0, "replicate", "--json", "--limit", "10MiB")
	if res := p.replicated(); len(res) != 2 || res[0].To != "disk" || res[0].Held != 1 || len(res[0].Points) != 1 || res[1].From != "disk" || len(res[1].Points) != 2 {
		t.Errorf("%+v", res)
	}
	p.goesAround()
	p.readsFrom("offsite")
	p.losesTheFirst()
}

// goesAround replicates while the tier in the middle is out of reach.
func (p *places) goesAround() {
	p.t.Helper()
	p.moves("disk", "unplugged")
	p.types(5, "replicate")
	p.sees(`tier disk cannot be read, the one before it stands in`)
	p.sees(`^tier offsite: 0 points copied from local, 2 held before`)
	p.moves("unplugged", "disk")
	p.types(0, "replicate", "--quiet")
	p.sees(`^tier offsite: 0 points copied from disk, 2 held before`)
	p.types(0, "doctor")
	p.sees(`tier offsite +points +holds all 2 of the first tier$`)
}

// losesTheFirst loses the first tier while the others are out of reach: the kit knows how to name contents.
func (p *places) losesTheFirst() {
	p.t.Helper()
	p.moves("local", "lost")
	p.moves("disk", "disk.away")
	p.moves("offsite", "offsite.away")
	p.configure("local")
	p.types(0, "init", "--yes")
	p.moves("disk.away", "disk")
	p.moves("offsite.away", "offsite")
	p.configure("local", "disk", "offsite")
	p.types(0, "init", "--yes")
	p.types(2, "replicate", "local")
	p.types(0, "replicate", "local", "--from", "offsite")
	p.sees(`^tier local: 2 points copied from offsite, 0 held before`)
	p.types(0, "verify", "--full", "--all")
	p.types(0, "replicate")
	p.sees(`^tier disk: 0 points copied from local, 2 held before`)
}

// moves renames a directory of a tier.
func (p *places) moves(from, to string) {
	p.t.Helper()
	if err := os.Rename(filepath.Join(p.dir, from), filepath.Join(p.dir, to)); err != nil {
		p.t.Fatal(err)
	}
}

// readsFrom reads points from another tier than the first, without leaving a word about it in what is known of the first.
func (p *places) readsFrom(name string) {
	p.t.Helper()
	p.types(0, "points", "--tier", name)
	p.sees(`^p1 `)
	p.types(0, "verify", "latest", "--full", "--tier", name)
	p.types(0, "show", "latest", "--tier", name, "--json")
	p.sees(`"tier": "` + name + `"`)
	p.sees(`"verified": "2`)
	p.types(0, "show", "latest", "--json")
	p.sees(`"verified": null`)
	to := filepath.Join(p.dir, "restored")
	p.types(0, "restore", "files", "p1", "--tier", name, "--to", to, "--yes")
	if data, err := os.ReadFile(filepath.Join(to, "ctl1/etc/kolla/globals.yml")); err != nil || string(data) != "one" {
		p.t.Errorf("restored %q, %v", data, err)
	}
	p.types(2, "points", "--tier", "tape")
	p.sees(`the tiers of holdfast.yml are: local, disk, offsite`)
}

// replicated decodes what replicate --json tells.
func (p *places) replicated() (res []tier.Result) {
	p.t.Helper()
	d := json.NewDecoder(strings.NewReader(p.stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&res); err != nil {
		p.t.Fatalf("%v\n%s", err, p.stdout)
	}
	return res
}

// TestReplicateStranger refuses a tier whose vault was made for itself.
func TestReplicateStranger(t *testing.T) {
	p := newPlaces(t, "other")
	p.types(0, "init", "--yes")
	p.configure("local")
	if err := os.RemoveAll(filepath.Join(p.dir, "state", "kit")); err != nil {
		t.Fatal(err)
	}
	p.types(0, "init", "--yes")
	p.configure("local", "other")
	p.types(2, "init", "--yes")
	p.sees(`is not of this cloud`)
	p.types(2, "replicate")
	p.sees(`are not of one cloud`)
	p.types(1, "doctor")
	p.sees(`tier other +points +.*are not of one cloud`)
}
