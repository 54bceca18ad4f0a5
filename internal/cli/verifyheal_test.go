package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

// blobsOf returns the files of the blobs of a tier whose names begin with prefix.
func (p *places) blobsOf(tier, prefix string) (found []string) {
	p.t.Helper()
	dir := filepath.Join(p.dir, tier)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && !d.IsDir() && strings.HasPrefix(strings.ReplaceAll(rel, "/", ""), prefix) {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		p.t.Fatalf("no blobs %s* in %s: %v", prefix, dir, err)
	}
	return found
}

// spoils changes all of a file.
func (p *places) spoils(file string) {
	p.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0xff
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// TestHealCommand damages the data of the first tier, then that of the second: each is healed from the other by one command.
func TestHealCommand(t *testing.T) {
	p := newPlaces(t, "local", "disk")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	p.types(0, "replicate")
	for _, tier := range []string{"local", "disk"} {
		for _, pack := range p.blobsOf(tier, "p") {
			p.spoils(pack)
		}
		p.types(7, "verify", "--full", "--all", "--tier", tier)
		p.sees(`damaged: kolla ctl1 kolla/ctl1/etc/kolla/globals.yml: `)
		p.types(0, "verify", "--full", "--all", "--heal", "--tier", tier, "--json")
		var h healed
		if err := json.Unmarshal([]byte(p.stdout), &h); err != nil {
			t.Fatalf("%v\n%s", err, p.stdout)
		}
		if h.Tier != tier || len(h.Found) == 0 || len(h.Damaged) != 0 || h.Contents == 0 || len(h.Each) != 1 || h.Each[0].Point != "p1" {
			t.Errorf("%s healed: %+v", tier, h)
		}
		p.types(0, "verify", "--full", "--all", "--tier", tier)
		p.types(0, "verify", "--heal", "--full", "--tier", tier)
		p.sees(`^tier ` + tier + `: nothing is damaged`)
	}
	to := filepath.Join(p.dir, "restored")
	p.types(0, "restore", "files", "p1", "--to", to, "--yes")
	if data, err := os.ReadFile(filepath.Join(to, "ctl1/etc/kolla/globals.yml")); err != nil || string(data) != "one" {
		t.Errorf("restored %q, %v", data, err)
	}
}

// TestHealInVain loses the same data in both tiers: it is named, and the command ends with 7.
func TestHealInVain(t *testing.T) {
	p := newPlaces(t, "local", "disk")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	p.types(0, "replicate")
	for _, tier := range []string{"local", "disk"} {
		for _, pack := range p.blobsOf(tier, "p") {
			if err := os.Remove(pack); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.types(7, "verify", "--heal", "--full", "--all")
	p.sees(`damaged: kolla ctl1 kolla/ctl1/etc/kolla/globals.yml: `)
	p.sees(`no tier that can be opened has what is named above`)
	p.types(0, "points")
	p.takes("p2", "one")
	p.types(0, "verify", "--full", "p2")
}

// TestHealFindsNoPoint loses all but what opens a vault: the command that brings its points back is named, and does.
func TestHealFindsNoPoint(t *testing.T) {
	p := newPlaces(t, "local", "disk")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	p.types(0, "replicate")
	for tier, back := range map[string][]string{"disk": {"replicate", "disk"}, "local": {"replicate", "local", "--from", "disk"}} {
		for _, prefix := range []string{"p", "q", "xn", "holdfast.point."} {
			for _, blob := range p.blobsOf(tier, prefix) {
				p.loses(blob)
			}
		}
		p.forgets()
		p.types(4, "verify", "--heal", "--all", "--tier", tier)
		p.sees(`there is no point in tier ` + tier)
		p.sees(`holdfast ` + strings.Join(back, " ") + ` brings`)
		p.types(0, back...)
		p.types(0, "verify", "--all", "--full", "--tier", tier)
	}
}

// forgets empties the caches of all vaults.
func (p *places) forgets() {
	p.t.Helper()
	caches, err := filepath.Glob(filepath.Join(p.dir, "state", "vault-*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, dir := range caches {
		if err := os.RemoveAll(dir); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestNoPointHints: what was deleted or overwritten under a lock is taken back first, and a tier that is alone is filled by a backup.
func TestNoPointHints(t *testing.T) {
	alone := &config.Config{Tiers: []config.Tier{{Name: "local"}}}
	if hint := problem.HintOf(noPoint(alone, alone.Tiers[0], false)); hint != "holdfast backup takes a point" {
		t.Error(hint)
	}
	two := &config.Config{Tiers: []config.Tier{{Name: "local"}, {Name: "s3"}}}
	hint := problem.HintOf(noPoint(two, two.Tiers[1], true))
	if first, then, found := strings.Cut(hint, "; "); !found || !strings.Contains(first, "first holdfast undelete s3") || !strings.Contains(then, "replicate s3 brings") {
		t.Error(hint)
	}
}
