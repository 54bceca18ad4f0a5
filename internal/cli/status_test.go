package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/coverage"
)

// TestStatusOfTiers tells of two tiers, of one that is out of reach, and of one that is damaged, and ends accordingly.
func TestStatusOfTiers(t *testing.T) {
	p := newPlaces(t, "local", "disk")
	p.types(0, "init", "--yes")
	p.takes("p1", "one")
	p.types(1, "status")
	p.sees(`^broken: tier disk has no good copy of kolla ctl1; promised is one not older than 1d02h$`)
	p.types(0, "replicate")
	p.types(1, "status", "--json")
	var o coverage.Overview
	if err := json.Unmarshal([]byte(p.stdout), &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Tiers) != 2 || len(o.Components) != 1 || len(o.Components[0].Tiers) != 2 || o.Components[0].Copies != 2 || len(o.Broken) != 1 || o.Broken[0].Promise != "copies" {
		t.Errorf("two tiers on one disk: %+v", o)
	}
	p.promises("{media: {disk: a disk elsewhere}}")
	p.types(0, "status")
	p.sees(`^COMPONENT .* AGE IN LOCAL +AGE IN DISK +COPIES +OFFSITE +LOCKED UNTIL +VERIFIED +DRILLED +LAST RUN$`)
	p.sees(`^kolla ctl1 +p1 .* 3 +no +no +never +never +good$`)
	p.moves("local", "away")
	p.types(5, "status")
	p.sees(`^broken: tier local cannot be opened`)
	p.sees(`^kolla ctl1 +p1 `)
	p.moves("away", "local")
	for _, pack := range p.blobsOf("disk", "p") {
		p.spoils(pack)
	}
	p.types(7, "verify", "--full", "--all", "--tier", "disk")
	p.types(7, "status")
	p.sees(`^broken: in tier disk the newest point with kolla ctl1 was found damaged`)
	record := filepath.Join(p.dir, "state/instant/abc.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(record), 0o700), os.WriteFile(record, []byte(`{"id": "abc", "target": "vms/a"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	p.types(7, "status") // an image that depends on this host hides no damage
	p.sees(`warning: vms/a depends on Holdfast and NOTHING SERVES IT`)
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	p.types(0, "verify", "--full", "--all", "--heal", "--tier", "disk")
	p.types(0, "status")
}

// promises adds what is promised to holdfast.yml.
func (p *places) promises(text string) {
	p.t.Helper()
	f, err := os.OpenFile(p.file(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := f.WriteString("promises: " + text + "\n"); err != nil {
		p.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		p.t.Fatal(err)
	}
}
