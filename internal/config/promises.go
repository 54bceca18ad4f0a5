package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// What is promised where nothing is said: a day and the time that a nightly run takes, and a month.
const (
	DefaultRPO  = 26 * time.Hour
	DefaultRead = 30 * Day
	// DefaultDrill counts from the first drill on: a month, and some days for one that failed to be drilled again.
	DefaultDrill = 35 * Day
	mostCopies   = 10
)

// Promises are what status holds the tiers to.
type Promises struct {
	RPO     time.Duration            // how old the newest good copy of a component may be
	Sources map[string]time.Duration // the same for one source
	Tiers   map[string]time.Duration // the same in one tier
	Copies  int                      // of each component, the cloud's own counted; 0 is as many as tiers could give, and 3 at most
	Read    time.Duration            // within which verify --all reads every tier once
	// Drill is how old the last drill that proved a copy of the database may be; 0 is DefaultDrill once there was a drill, and until
	// then whatever.
	Drill time.Duration
	// Offsite names the tiers that the loss of the site does not reach.
	Offsite []string
	// Media names, by tier, the storage system that it lies on, where Holdfast cannot tell: tiers on one count as one copy, and one on a
	// Ceph cluster of this configuration, by that one's name, as none beside the cloud's own.
	Media map[string]string
}

// For is how old the newest good copy of a component of the source may be.
func (p Promises) For(source string) time.Duration {
	if d, ok := p.Sources[source]; ok {
		return d
	}
	return p.RPO
}

// In is how old the newest good copy of a component of the source may be in a tier.
func (p Promises) In(tier, source string) time.Duration {
	if d, ok := p.Tiers[tier]; ok {
		return max(d, p.For(source))
	}
	return p.For(source)
}

func defaultPromises() Promises { return Promises{RPO: DefaultRPO, Read: DefaultRead} }

// promises reads what is promised of the tiers, which are known when all else was read.
func (d *decoder) promises(c *Config) reader {
	return func(n *yaml.Node, at string) {
		p := &c.Promises
		d.mapping(n, at,
			optional("rpo", d.duration(&p.RPO)),
			optional("sources", d.durations(&p.Sources)),
			optional("tiers", d.spans(&p.Tiers)),
			optional("copies", d.count(&p.Copies, mostCopies)),
			optional("read", d.duration(&p.Read)),
			optional("drill", d.duration(&p.Drill)),
			optional("offsite", list(d, &p.Offsite, d.tierName)),
			optional("media", d.texts(&p.Media)),
		)
	}
}

func (d *decoder) tierName(n *yaml.Node, at string) (name string) {
	d.text(&name, aName)(n, at)
	return name
}

// durations reads a time span for each of some sources.
func (d *decoder) durations(dst *map[string]time.Duration) reader {
	return func(n *yaml.Node, at string) {
		found := map[string]time.Duration{}
		var fields []field
		times := make([]time.Duration, len(ruledSources))
		for i, name := range ruledSources {
			fields = append(fields, optional(name, d.duration(&times[i])))
		}
		given := d.mapping(n, at, fields...)
		for i, name := range ruledSources {
			if given[name] != nil {
				found[name] = times[i]
			}
		}
		*dst = found
	}
}

// spans reads a time span for each of some keys.
func (d *decoder) spans(dst *map[string]time.Duration) reader {
	return func(n *yaml.Node, at string) {
		texts, found := map[string]string{}, map[string]time.Duration{}
		d.texts(&texts)(n, at)
		for key, text := range texts {
			v, err := ParseDuration(text)
			if err != nil && text != "" {
				d.fault(n, "write a number with its unit, such as 36h, 7d, 4w or 1y", "%s: %v", join(at, key), err)
			}
			found[key] = v
		}
		*dst = found
	}
}

// checkPromises holds the promises to the tiers that there are.
func (d *decoder) checkPromises(c Config, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, name := range slices.Concat(c.Promises.Offsite, slices.Sorted(maps.Keys(c.Promises.Media)), slices.Sorted(maps.Keys(c.Promises.Tiers))) {
		if !slices.ContainsFunc(c.Tiers, func(t Tier) bool { return t.Name == name }) {
			d.fault(n, "name a tier of tiers", "promises names tier %q, which there is not", name)
		}
	}
}

func (w *writer) promises(p Promises) {
	p.RPO, p.Read = cmp.Or(p.RPO, DefaultRPO), cmp.Or(p.Read, DefaultRead)
	if p.RPO == DefaultRPO && p.Read == DefaultRead && len(p.Sources)+len(p.Tiers)+len(p.Offsite)+len(p.Media)+p.Copies == 0 && p.Drill == 0 {
		return
	}
	w.line("")
	w.comment("What holdfast status holds the tiers to.")
	w.key("promises", "", false)
	w.nest("  ", func() { w.promised(p) })
}

func (w *writer) promised(p Promises) {
	w.key("rpo", FormatDuration(p.RPO), p.RPO == DefaultRPO)
	w.key("read", FormatDuration(p.Read), p.Read == DefaultRead)
	w.key("drill", FormatDuration(p.Drill), p.Drill == 0)
	w.key("sources", renderSpans(p.Sources), len(p.Sources) == 0)
	w.key("tiers", renderSpans(p.Tiers), len(p.Tiers) == 0)
	if p.Copies > 0 {
		w.key("copies", strconv.Itoa(p.Copies), false)
	}
	var parts []string
	for _, name := range p.Offsite {
		parts = append(parts, quote(name))
	}
	w.key("offsite", "["+strings.Join(parts, ", ")+"]", len(parts) == 0)
	parts = nil
	for _, name := range slices.Sorted(maps.Keys(p.Media)) {
		parts = append(parts, fmt.Sprintf("%s: %s", name, quote(p.Media[name])))
	}
	w.key("media", "{"+strings.Join(parts, ", ")+"}", len(parts) == 0)
}

func renderSpans(spans map[string]time.Duration) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(spans)) {
		parts = append(parts, quote(name)+": "+FormatDuration(spans[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
