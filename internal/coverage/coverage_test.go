package coverage

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/verify"
)

var coverNow = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)

// aged is a point with good components, by source and name, that is so old.
func aged(id string, age time.Duration, names ...string) point.Point {
	p := point.Point{ID: id, Started: coverNow.Add(-age)}
	for _, n := range names {
		source, name, _ := strings.Cut(n, " ")
		p.Components = append(p.Components, point.Component{Source: source, Name: name, State: point.Good, Started: p.Started})
	}
	return p
}

func judged(tiers []Tier, p config.Promises) ([]Component, map[string]string) {
	all := components(allPoints(tiers), tiers[0].Found, coverNow)
	coverAll(all, tiers, p, coverNow)
	said := map[string]string{}
	for _, b := range judgeCover(all, tiers, p, coverNow) {
		said[b.Promise+" "+b.Tier] += b.Text
	}
	return all, said
}

var coverPromises = config.Promises{RPO: 26 * time.Hour, Read: 30 * config.Day, Copies: 3, Offsite: []string{"far"}, Tiers: map[string]time.Duration{"far": 8 * config.Day}}

// TestPromisesKept: everything is as promised, and a component that is gone at its source is nobody's fault.
func TestPromisesKept(t *testing.T) {
	at := coverNow.Add(-time.Hour)
	near := Tier{Tier: "local", Medium: "disk 1", Points: 2, Verified: &at, Held: []point.Point{
		aged("1", 60*24*time.Hour, "rbd deleted", "rbd kept"), aged("2", time.Hour, "rbd kept"),
	}}
	far := Tier{Tier: "far", Medium: "disk 2", Offsite: true, Points: 1, Verified: &at, Held: []point.Point{aged("1", 7*24*time.Hour, "rbd deleted", "rbd kept")}}
	all, said := judged([]Tier{near, far}, coverPromises)
	if len(said) > 0 || len(all) != 2 {
		t.Errorf("said %v of %+v", said, all)
	}
	if x := all[0]; !x.Gone || x.Component != "deleted" {
		t.Errorf("deleted: %+v", x)
	}
	if x := all[1]; x.Gone || x.Copies != 3 || !x.Offsite || x.Tiers[1].Point != "1" || x.Tiers[1].Late {
		t.Errorf("kept: %+v", x)
	}
}

// TestPromisesBroken breaks one promise after the other, and finds the sentence for it.
func TestPromisesBroken(t *testing.T) {
	at, long := coverNow.Add(-time.Hour), coverNow.Add(-40*24*time.Hour)
	locked, ending := coverNow.Add(3*config.Day), coverNow.Add(23*time.Hour)
	good := func() []Tier {
		return []Tier{
			{Tier: "local", Medium: "disk 1", Points: 1, Verified: &at, Held: []point.Point{aged("1", time.Hour, "rbd a", "rbd b")}},
			{Tier: "far", Medium: "disk 2", Offsite: true, Points: 1, Verified: &at, Locks: true, LockedUntil: &locked, Held: []point.Point{aged("1", time.Hour, "rbd a", "rbd b")}},
		}
	}
	for promise, c := range map[string]struct {
		harm func([]Tier)
		text string
	}{
		"rpo local": {func(s []Tier) { s[0].Held[0] = aged("1", 27*time.Hour, "rbd a", "rbd b") }, "2 components of rbd, such as a is too old, or missing: up to 1d03h"},
		"rpo far":   {func(s []Tier) { s[1].Held = nil }, "has no good copy of 2 components of rbd"},
		"damage local": {func(s []Tier) { s[0].Found = verify.Findings{"1": {At: at, Damaged: 3}} },
			"holdfast verify --heal --all --tier local"},
		"tier far":     {func(s []Tier) { s[1] = Tier{Tier: "far", Error: "no such directory"} }, "cannot be opened"},
		"verify local": {func(s []Tier) { s[0].Verified = &long }, "was not verified as a whole for more than 30d00h"},
		"locked far":   {func(s []Tier) { s[1].LockedUntil = nil }, "tier far is not known to be locked as a whole for another day"},
		"copies ":      {func(s []Tier) { s[1].Medium = "disk 1" }, "fewer than 3 copies on storage of their own: 2 components, such as rbd a"},
		"offsite ":     {func(s []Tier) { s[1].Offsite = false }, "no good copy offsite: 2 components"},
	} {
		tiers := good()
		if _, said := judged(tiers, coverPromises); len(said) > 0 {
			t.Fatalf("before: %v", said)
		}
		c.harm(tiers)
		if _, said := judged(tiers, coverPromises); !strings.Contains(said[promise], c.text) {
			t.Errorf("%s: no %q in %v", promise, c.text, said)
		}
	}
	tiers := good()
	tiers[1].LockedUntil = &ending
	if _, said := judged(tiers, coverPromises); said["locked far"] == "" {
		t.Errorf("a lock that ends within a day keeps what was promised: %v", said)
	}
	tiers = good()
	tiers[1].Own = true
	if all, said := judged(tiers, coverPromises); all[0].Copies != 2 || said["copies "] == "" {
		t.Errorf("a tier on the cloud's own storage counts as a copy: %+v, %v", all, said)
	}
}
