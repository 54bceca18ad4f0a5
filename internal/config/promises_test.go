package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const promisedTiers = "cloud: c\ntiers:\n  - {name: local, url: 'file:///v'}\n  - {name: far, url: 'file:///w', keep: 1y}\n"

// TestPromises reads what is promised, writes it, and reads it again.
func TestPromises(t *testing.T) {
	c, err := Parse("/etc/h.yml", []byte(promisedTiers))
	if err != nil || c.Promises.For("rbd") != DefaultRPO || c.Promises.Read != DefaultRead {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	c, err = Parse("/etc/h.yml", []byte(promisedTiers+"promises: {rpo: 2d, sources: {rbd: 4h}, tiers: {far: 8d}, copies: 3, read: 10d, drill: 14d, offsite: [far], media: {far: ceph}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Promises{RPO: 2 * Day, Sources: map[string]time.Duration{"rbd": 4 * time.Hour}, Tiers: map[string]time.Duration{"far": 8 * Day}, Copies: 3, Read: 10 * Day, Drill: 14 * Day, Offsite: []string{"far"}, Media: map[string]string{"far": "ceph"}}
	if diff := cmp.Diff(want, c.Promises); diff != "" || c.Promises.For("rbd") != 4*time.Hour || c.Promises.In("far", "kolla") != 8*Day {
		t.Errorf("-want +got:\n%s", diff)
	}
	again, err := Parse("/etc/h.yml", Render(*c))
	if err != nil || !cmp.Equal(c.Promises, again.Promises) {
		t.Errorf("written and read: %+v, %v\n%s", again, err, Render(*c))
	}
}

func TestPromisesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"{offsite: [moon]}":      `promises names tier "moon"`,
		"{media: {tape: x}}":     `promises names tier "tape"`,
		"{tiers: {far: soon}}":   "promises.tiers.far",
		"{sources: {db: 1d}}":    `unknown key "db" in promises.sources`,
		"{rpo: soon}":            "promises.rpo",
		"{read: 30d, rpo: [1d]}": "promises.rpo",
	} {
		if _, err := Parse("/etc/h.yml", []byte(promisedTiers+"promises: "+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
