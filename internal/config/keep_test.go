package config

import (
	"strings"
	"testing"
	"time"
)

func parseKeep(keep string) (*Config, error) {
	return Parse("/etc/hf/holdfast.yml", []byte("cloud: c\ntiers: [{name: l, url: file:///v, keep: "+keep+"}]\n"))
}

func TestKeepFaults(t *testing.T) {
	for keep, want := range map[string]string{
		"[7d]":                                 "tiers[0].keep must be a single value, not a list",
		"7":                                    `"7" has no unit`,
		"{}":                                   "tiers[0].keep has no rule by which points stay",
		"{zone: UTC}":                          "tiers[0].keep has no rule by which points stay",
		"{daily: 0}":                           "tiers[0].keep.daily must be a whole number from 1 to 9999, not 0",
		"{last: 99999}":                        "tiers[0].keep.last must be a whole number from 1 to 9999, not 99999",
		"{hourly: 3}":                          `unknown key "hourly" in tiers[0].keep`,
		"{age: 0d}":                            "is no time at all",
		"{age: 7d, zone: Local}":               `"Local" is not a time zone`,
		"{age: 7d, zone: Mars}":                `"Mars" is not a time zone`,
		"{age: 7d, sources: {}}":               "tiers[0].keep.sources is empty",
		"{last: 1, sources: {db: {last: 1}}}":  `unknown key "db" in tiers[0].keep.sources`,
		"{last: 1, sources: {rbd: {}}}":        "tiers[0].keep.sources.rbd has no rule",
		"{last: 1, sources: {rbd: {zone: x}}}": `unknown key "zone" in tiers[0].keep.sources.rbd`,
	} {
		if _, err := parseKeep(keep); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keep, err, want)
		}
	}
}

func TestKeepOfSources(t *testing.T) {
	c, err := parseKeep("{age: 7d, daily: 40, sources: {rbd: {last: 3}}, zone: Europe/Paris}")
	if err != nil {
		t.Fatal(err)
	}
	k := c.Tiers[0].Keep
	if got := k.For("rbd"); got != (Rules{Last: 3}) || got.Term() != 0 {
		t.Errorf("rbd: %+v, %v", got, got.Term())
	}
	if got := k.For("kolla"); got != (Rules{Age: 7 * Day, Daily: 40}) || got.Term() != 40*Day {
		t.Errorf("kolla: %+v, %v", got, got.Term())
	}
	loc, err := k.Location()
	if err != nil || time.Date(2026, 7, 1, 0, 0, 0, 0, loc).UTC().Hour() != 22 {
		t.Errorf("%v, %v", loc, err)
	}
	if loc, err := (Keep{}).Location(); err != nil || loc != time.UTC {
		t.Errorf("no zone is %v, %v", loc, err)
	}
}

// FuzzDuration demands that what reads as a duration is one, and reads back from how it is written.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"7d", "1y30d", "90s", "", "1", "0d", "300y", "9223372036s", "1d1d", "d7", "7é", "106751d23h47m16s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if d <= 0 || d%time.Second != 0 {
			t.Fatalf("%q is %v", text, d)
		}
		if back, err := ParseDuration(FormatDuration(d)); err != nil || back != d {
			t.Fatalf("%q: written as %s it reads as %v, %v", text, FormatDuration(d), back, err)
		}
	})
}
