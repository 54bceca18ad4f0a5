package config

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // every host must count the same days, whatever is installed on it

	"go.yaml.in/yaml/v3"
)

// mostKept is the highest count of a rule.
const mostKept = 9999

// ruledSources are the sources that can have rules of their own.
var ruledSources = []string{"ceph", "kolla", "mariadb", "rbd"}

// Rules say which points stay in a tier: those that at least one rule wants. A rule that is zero wants none.
type Rules struct {
	Age    time.Duration // those begun less than so long ago
	Within time.Duration // good ones begun less than so long before the newest good one
	Last   int           // so many of the newest good ones
	// The newest good one of so many days, weeks (from Monday on), months and years that have one.
	Daily, Weekly, Monthly, Yearly int
}

// Keep is what stays in a tier.
type Keep struct {
	Rules
	Sources map[string]Rules // in the place of Rules, by source
	Zone    string           // in which days begin, such as Europe/Paris; "" is UTC
}

// For returns the rules for a source.
func (k Keep) For(source string) Rules {
	if r, ok := k.Sources[source]; ok {
		return r
	}
	return k.Rules
}

// Location returns the zone in which days, weeks, months and years begin.
func (k Keep) Location() (*time.Location, error) {
	if k.Zone == "Local" { // which is another one on another host
		return nil, fmt.Errorf("time zone %q is not the same everywhere", k.Zone)
	}
	return time.LoadLocation(k.Zone)
}

// Term is the longest that the rules make a point stay while backups go on as planned, 0 when they do not tell.
func (r Rules) Term() time.Duration {
	return max(r.Age, r.Within, time.Duration(r.Daily)*Day, time.Duration(r.Weekly)*Week, time.Duration(r.Monthly)*31*Day, time.Duration(r.Yearly)*366*Day)
}

// keep reads a duration, which is the rule age alone, or a set of rules.
func (d *decoder) keep(dst *Keep) reader {
	return func(n *yaml.Node, at string) {
		*dst = Keep{}
		if resolve(n).Kind != yaml.MappingNode {
			d.duration(&dst.Age)(n, at)
			return
		}
		dst.Rules = d.rules(n, at, optional("zone", d.zone(dst)), optional("sources", d.sourceRules(dst)))
	}
}

// rules reads at least one rule, and beside them the fields more.
func (d *decoder) rules(n *yaml.Node, at string, more ...field) (r Rules) {
	found := d.mapping(n, at, append([]field{
		optional("age", d.duration(&r.Age)),
		optional("within", d.duration(&r.Within)),
		optional("last", d.count(&r.Last, mostKept)),
		optional("daily", d.count(&r.Daily, mostKept)),
		optional("weekly", d.count(&r.Weekly, mostKept)),
		optional("monthly", d.count(&r.Monthly, mostKept)),
		optional("yearly", d.count(&r.Yearly, mostKept)),
	}, more...)...)
	for _, f := range more {
		delete(found, f.key)
	}
	if len(found) == 0 && resolve(n).Kind == yaml.MappingNode {
		d.fault(n, "add age:, or how many of them stay: last, daily, weekly, monthly or yearly", "%s has no rule by which points stay", at)
	}
	return r
}

func (d *decoder) sourceRules(k *Keep) reader {
	return func(n *yaml.Node, at string) {
		k.Sources = map[string]Rules{}
		var fields []field
		for _, source := range ruledSources {
			fields = append(fields, optional(source, func(n *yaml.Node, at string) { k.Sources[source] = d.rules(n, at) }))
		}
		if len(d.mapping(n, at, fields...)) == 0 && resolve(n).Kind == yaml.MappingNode {
			d.fault(n, "remove the key", "%s is empty", at)
		}
	}
}

func (d *decoder) zone(k *Keep) reader {
	return d.text(&k.Zone, func(_ *yaml.Node, text string) (wrong, hint string) {
		if _, err := (Keep{Zone: text}).Location(); err != nil {
			return fmt.Sprintf("%q is not a time zone", text), "write UTC or a name such as Europe/Paris"
		}
		return "", ""
	})
}

// renderKeep writes k as keep reads it.
func renderKeep(k Keep) string {
	if k.Zone == "" && len(k.Sources) == 0 && k.Rules == (Rules{Age: k.Age}) {
		return FormatDuration(k.Age)
	}
	parts := renderRules(k.Rules)
	if k.Zone != "" {
		parts = append(parts, "zone: "+quote(k.Zone))
	}
	var sources []string
	for _, source := range ruledSources {
		if r, ok := k.Sources[source]; ok {
			sources = append(sources, source+": {"+strings.Join(renderRules(r), ", ")+"}")
		}
	}
	if len(sources) > 0 {
		parts = append(parts, "sources: {"+strings.Join(sources, ", ")+"}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func renderRules(r Rules) (parts []string) {
	for _, span := range []struct {
		key string
		d   time.Duration
	}{{"age", r.Age}, {"within", r.Within}} {
		if span.d > 0 {
			parts = append(parts, span.key+": "+FormatDuration(span.d))
		}
	}
	for _, count := range []struct {
		key string
		n   int
	}{{"last", r.Last}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly}} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", count.key, count.n))
		}
	}
	return parts
}
