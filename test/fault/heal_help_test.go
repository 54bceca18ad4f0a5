package fault

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/cli"
	"holdfast/internal/lab"
	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

const (
	duoCloud   = "lab"
	firstTier  = "local"
	secondTier = "disk"
)

// duo is an operator with two tiers on this machine and no cloud: what stands in their vaults is all that matters.
type duo struct {
	t      *testing.T
	dir    string
	lab    *lab.Lab // whose sshd serves the second tier; nil when that is reached as a directory too
	stdout string
	stderr string
}

// newDuo makes two empty vaults.
func newDuo(t *testing.T) *duo {
	t.Helper()
	return newDuoAt(t, nil)
}

// newDuoAt makes two, of which a lab serves the second.
func newDuoAt(t *testing.T, l *lab.Lab) *duo {
	t.Helper()
	p := &duo{t: t, dir: t.TempDir(), lab: l}
	p.configure()
	p.types(0, "init", "--yes")
	return p
}

func (p *duo) configure() {
	p.t.Helper()
	text := fmt.Sprintf("cloud: %s\nstate: %s/state\ntiers:\n", duoCloud, p.dir)
	for _, name := range []string{firstTier, secondTier} {
		loc := p.location(name)
		text += fmt.Sprintf("  - {name: %[1]s, url: '%[3]s', passphrase: {file: %[2]s/%[1]s.pass}, keep: 7d", name, p.dir, loc.URL)
		if loc.SSHConfig != "" {
			text += ", ssh_config: " + loc.SSHConfig
		}
		text += "}\n"
	}
	write(p.t, filepath.Join(p.dir, "holdfast.yml"), text)
}

// location is where a tier is, which lies in the directory of its name.
func (p *duo) location(tier string) vault.Location {
	dir := filepath.Join(p.dir, tier)
	if p.lab == nil || tier == firstTier {
		return vault.Location{Tier: tier, URL: "file://" + dir}
	}
	h := p.lab.Hosts[0]
	return vault.Location{
		Tier: tier, URL: fmt.Sprintf("sftp://%s@127.0.0.1:%d%s", h.User, h.Port, dir),
		SSHConfig: filepath.Join(p.lab.Options.Dir, "ssh", "config"),
	}
}

// copy makes a copy of all of it, whose caches are empty.
func (p *duo) copy(t *testing.T) *duo {
	t.Helper()
	c := &duo{t: t, dir: filepath.Join(t.TempDir(), "copy"), lab: p.lab}
	if out, err := exec.Command("cp", "-a", p.dir, c.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	caches, err := filepath.Glob(filepath.Join(c.dir, "state", "vault-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range caches {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	c.configure()
	return c
}

// try types a command line and returns its exit code.
func (p *duo) try(args ...string) int {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Main(p.t.Context(), append([]string{"-c", filepath.Join(p.dir, "holdfast.yml")}, args...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" },
		IsTerminal: func(any) bool { return false }, Size: func() (int, int) { return 0, 0 }, Now: time.Now,
	})
	p.stdout, p.stderr = stdout.String(), stderr.String()
	return code
}

func (p *duo) types(exit int, args ...string) {
	p.t.Helper()
	if got := p.try(args...); got != exit {
		p.t.Fatalf("holdfast %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, exit, p.stdout, p.stderr)
	}
}

// open opens the vault of a tier.
func (p *duo) open(tier string) *vault.Vault {
	p.t.Helper()
	pass, err := os.ReadFile(filepath.Join(p.dir, tier+".pass"))
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := vault.Open(p.t.Context(), p.location(tier), secret.New(strings.TrimSpace(string(pass))), vault.OpenOptions{Cloud: duoCloud})
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// take seals a point with these files of the host ctl1 in the first tier.
func (p *duo) take(id string, files map[string][]byte) {
	p.t.Helper()
	v := p.open(firstTier)
	defer v.Close(p.t.Context())
	s, err := v.Begin(p.t.Context(), id, "kolla")
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Abandon(p.t.Context())
	for name, data := range files {
		f, err := s.Tree("kolla/ctl1").Create(name, stream.Meta{Mode: 0o600, ModTime: time.Unix(1000, 0)}, stream.Pages)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			p.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			p.t.Fatal(err)
		}
	}
	if _, err := s.Seal(p.t.Context(), id, nil); err != nil {
		p.t.Fatal(err)
	}
	c := point.Component{Source: "kolla", Name: "ctl1", Kind: point.Files, Path: "kolla/ctl1", State: point.Good}
	if err := v.SealPoint(p.t.Context(), point.Point{ID: id, Cloud: duoCloud, Started: time.Now(), State: point.Complete, Components: []point.Component{c}}); err != nil {
		p.t.Fatal(err)
	}
}

// holdsIn fails the test unless a tier gives back these files of a point.
func (p *duo) holdsIn(tier, id string, want map[string][]byte) {
	p.t.Helper()
	v := p.open(tier)
	p.holds(v, id, want)
	if err := v.Close(p.t.Context()); err != nil {
		p.t.Error(err)
	}
}

func (p *duo) holds(v *vault.Vault, id string, want map[string][]byte) {
	p.t.Helper()
	fsys, err := v.FS(p.t.Context(), id, "kolla")
	if err != nil {
		p.t.Errorf("point %s: %v", id, err)
		return
	}
	for name, data := range want {
		if got, err := fs.ReadFile(fsys, "kolla/ctl1/"+name); err != nil || !bytes.Equal(got, data) {
			p.t.Errorf("point %s: %s has %d bytes of %d, or others: %v", id, name, len(got), len(data), err)
		}
	}
}

// someBytes do not compress.
func someBytes(n int, seed byte) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}
