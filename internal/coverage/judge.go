package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/report"
)

// coverAll says of each component where its copies lie.
func coverAll(all []Component, tiers []Tier, p config.Promises, now time.Time) {
	listed := listedLast(tiers)
	for i := range all {
		x := &all[i]
		x.Cover = Cover{RPOSeconds: p.For(x.Source).Seconds(), Tiers: []Copy{}, Copies: 1}
		x.Gone = x.Component != "" && x.Component != point.PlanName && listed[x.Source] != nil && !listed[x.Source][x.Component]
		media := map[string]bool{}
		for _, t := range tiers {
			c := newestCopy(t, x.Source, x.Component, now)
			c.Late = x.promised(listed) && t.Error == "" && (c.Point == "" || c.AgeSeconds > p.In(t.Tier, x.Source).Seconds())
			x.Tiers = append(x.Tiers, c)
			if c.Point == "" || c.Damaged {
				continue
			}
			x.Offsite = x.Offsite || t.Offsite
			if l := t.LockedUntil; l != nil && l.After(now) && (x.LockedUntil == nil || l.After(*x.LockedUntil)) {
				x.LockedUntil = l
			}
			if !t.Own && !media[t.Medium] {
				media[t.Medium] = true
				x.Copies++
			}
		}
	}
}

// promised reports whether there should be a good copy: not of what is gone, of what was always left out, or of a source that could
// not be listed once and is by now.
func (x Component) promised(listed map[string]map[string]bool) bool {
	switch {
	case x.Component == point.PlanName:
		return listed[x.Source] == nil
	case x.Point == "" && x.Last == string(point.Skipped), x.Point == "" && x.Last == "" && x.Component != "":
		return false
	}
	return !x.Gone
}

// listedLast returns, by source, the components that the newest point names which could list them.
func listedLast(tiers []Tier) map[string]map[string]bool {
	listed := map[string]map[string]bool{}
	for _, p := range slices.Backward(allPoints(tiers)) {
		names := map[string]map[string]bool{}
		for _, c := range p.Components {
			if c.Name == point.PlanName {
				continue
			}
			if names[c.Source] == nil {
				names[c.Source] = map[string]bool{}
			}
			names[c.Source][c.Name] = true
		}
		for source, set := range names {
			if listed[source] == nil {
				listed[source] = set
			}
		}
	}
	return listed
}

// allPoints are the points of all tiers, each once, oldest first.
func allPoints(tiers []Tier) (all []point.Point) {
	seen := map[string]bool{}
	for _, t := range tiers {
		for _, p := range t.Held {
			if !seen[p.ID] {
				seen[p.ID] = true
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b point.Point) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	return all
}

// newestCopy finds the newest good copy of a component in a tier.
func newestCopy(t Tier, source, name string, now time.Time) Copy {
	c := Copy{Tier: t.Tier}
	for _, p := range slices.Backward(t.Held) {
		for _, x := range p.Components {
			if x.Source != source || x.Name != name || x.State != point.Good {
				continue
			}
			at := x.Started
			if x.At != nil {
				at = *x.At
			}
			f := t.Found[p.ID]
			c.Point, c.At, c.AgeSeconds = p.ID, &at, now.Sub(at).Seconds()
			c.Verified, c.Damaged = t.Found.Good(p.ID), f.Damaged > 0
			if c.Verified != nil {
				c.Depth = string(f.Depth)
			}
			return c
		}
	}
	return c
}

// judgeCover says in plain words which promises are broken.
func judgeCover(all []Component, tiers []Tier, p config.Promises, now time.Time) []Broken {
	found := []Broken{}
	for i, t := range tiers {
		if t.Error != "" {
			found = append(found, t.shut())
			continue
		}
		found = append(found, lateIn(all, i, t, p)...)
		if t.Locks && (t.LockedUntil == nil || t.LockedUntil.Sub(now) < config.Day) {
			found = append(found, Broken{"locked", t.Tier, "", fmt.Sprintf("tier %s is not known to be locked as a whole for another day: holdfast doctor says why, holdfast replicate %s locks it anew", t.Tier, t.Tier)})
		}
		if t.Points > 0 && (t.Verified == nil && tooOld(t.Held[0].Started, now, p.Read) || t.Verified != nil && tooOld(*t.Verified, now, p.Read)) {
			found = append(found, Broken{"verify", t.Tier, "", fmt.Sprintf("tier %s was not verified as a whole for more than %s: holdfast verify --all --tier %s", t.Tier, report.Span(p.Read), t.Tier)})
		}
	}
	return append(found, fewCopies(all, p)...)
}

func tooOld(at, now time.Time, most time.Duration) bool { return now.Sub(at) > most }

// lateIn gathers, source by source, the components whose newest good copy in a tier is too old or known to be damaged.
func lateIn(all []Component, tier int, t Tier, p config.Promises) (found []Broken) {
	late, damaged := map[string][]string{}, map[string][]string{}
	oldest := map[string]float64{}
	var sources []string
	for _, x := range all {
		c := x.Tiers[tier]
		if (c.Late || c.Damaged) && !slices.Contains(sources, x.Source) {
			sources = append(sources, x.Source)
		}
		if c.Damaged {
			damaged[x.Source] = append(damaged[x.Source], x.Component)
		}
		if c.Late {
			late[x.Source] = append(late[x.Source], x.Component)
			oldest[x.Source] = max(oldest[x.Source], c.AgeSeconds)
		}
	}
	for _, s := range sources {
		promised := report.Span(p.In(t.Tier, s))
		switch names := late[s]; {
		case len(names) == 0:
		case oldest[s] == 0:
			found = append(found, Broken{"rpo", t.Tier, s, fmt.Sprintf("tier %s has no good copy of %s; promised is one not older than %s", t.Tier, oneOrMany(s, names), promised)})
		default:
			found = append(found, Broken{"rpo", t.Tier, s, fmt.Sprintf("in tier %s the newest good copy of %s is too old, or missing: up to %s, promised is %s",
				t.Tier, oneOrMany(s, names), report.Span(time.Duration(oldest[s]*float64(time.Second))), promised)})
		}
		if names := damaged[s]; len(names) > 0 {
			found = append(found, Broken{"damage", t.Tier, s, fmt.Sprintf("in tier %s the newest point with %s was found damaged: holdfast verify --heal --all --tier %s", t.Tier, oneOrMany(s, names), t.Tier)})
		}
	}
	return found
}

// oneOrMany names one component, or says how many there are.
func oneOrMany(source string, names []string) string {
	switch {
	case len(names) == 1 && (names[0] == "" || names[0] == point.PlanName):
		return source
	case len(names) == 1:
		return source + " " + names[0]
	}
	return fmt.Sprintf("%d components of %s, such as %s", len(names), source, names[0])
}

// fewCopies says what is missing to three copies, one of them offsite, where tiers are promised to be so.
func fewCopies(all []Component, p config.Promises) (found []Broken) {
	var few, near []string
	for _, x := range all {
		if x.Gone || x.Point == "" {
			continue
		}
		name := x.Source + " " + x.Component
		if x.Copies < p.Copies {
			few = append(few, name)
		}
		if len(p.Offsite) > 0 && !x.Offsite {
			near = append(near, name)
		}
	}
	if len(few) > 0 {
		found = append(found, Broken{Promise: "copies", Text: fmt.Sprintf("fewer than %d copies on storage of their own: %s", p.Copies, these(few))})
	}
	if len(near) > 0 {
		found = append(found, Broken{Promise: "offsite", Text: "no good copy offsite: " + these(near)})
	}
	return found
}

func these(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%d components, such as %s", len(names), names[0])
}

// shut is the promise that a tier breaks which cannot be opened.
func (t Tier) shut() Broken {
	return Broken{"tier", t.Tier, "", fmt.Sprintf("tier %s cannot be opened, so nothing is known of its copies: %s", t.Tier, t.Error)}
}

// Darken makes of what was known what is known now that no tier can be opened, and why.
func (o *Overview) Darken(why string) {
	o.Tiers = slices.Clone(o.Tiers)
	o.Broken = slices.DeleteFunc(slices.Clone(o.Broken), func(b Broken) bool { return b.Promise == "tier" })
	for i := range o.Tiers {
		o.Tiers[i].Error = why
		o.Broken = append(o.Broken, o.Tiers[i].shut())
	}
}
