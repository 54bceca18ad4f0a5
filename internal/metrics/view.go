package metrics

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/coverage"
)

// images is the source whose components are many.
const images = "rbd"

// drillable reports whether the restore of a component is proven by drills: of the copies of a database, not of the image it runs from.
func drillable(source, component string) bool {
	kind := path.Base(component)
	return source == "mariadb" && (kind == "physical" || kind == "logical")
}

// view is an overview, folded to as many series as are shown.
type view struct {
	o       coverage.Overview
	sources map[string]*sourceView
	shown   []*shown
}

// sourceView sums the components of a source.
type sourceView struct {
	count, bare   int // components that should be protected; those without a copy
	late, damaged map[string]int
	rpo           float64
	oldest        *time.Time // among the newest good copies
	failed        bool       // the newest run that tried a component did not get it
}

// shown is a component, or a pool of images by its worst.
type shown struct {
	source, component string
	tiers             []spot
	drilled           *time.Time
	copies            int
	offsite           bool
	locked            *time.Time
}

// spot is the newest good copy in a tier.
type spot struct {
	tier         string
	at, verified *time.Time
}

func newView(o coverage.Overview, perImage bool) *view {
	v := &view{o: o, sources: map[string]*sourceView{}}
	rows := map[[2]string]*shown{}
	for _, x := range o.Components {
		if x.Gone {
			continue
		}
		v.sum(x)
		key := [2]string{x.Source, x.Component}
		if x.Source == images && !perImage {
			key[1] = poolOf(x.Component)
		}
		if rows[key] == nil {
			rows[key] = newShown(key, x)
			v.shown = append(v.shown, rows[key])
			continue
		}
		rows[key].worst(x)
	}
	v.o.Components, v.o.Tiers = nil, slices.Clone(o.Tiers) // what is many is not kept
	for i := range v.o.Tiers {
		v.o.Tiers[i].Held, v.o.Tiers[i].Found = nil, nil
	}
	return v
}

// poolOf is the name of an image's pool, with its cluster's where that is named.
func poolOf(component string) string {
	if i := strings.LastIndex(component, "/"); i > 0 {
		return component[:i]
	}
	return component
}

// sum adds a component to what is known of its source.
func (v *view) sum(x coverage.Component) {
	s := v.sources[x.Source]
	if s == nil {
		s = &sourceView{late: map[string]int{}, damaged: map[string]int{}}
		v.sources[x.Source] = s
	}
	s.rpo = x.RPOSeconds
	s.failed = s.failed || x.Last == "failed" || x.Last == "partial"
	if x.Last == "skipped" && x.Point == "" {
		return // it is left out on purpose
	}
	s.count++
	if x.Point == "" {
		s.bare++
		s.oldest = &time.Time{}
	} else if s.oldest == nil || x.At != nil && x.At.Before(*s.oldest) {
		s.oldest = x.At
	}
	for _, c := range x.Tiers {
		if c.Late {
			s.late[c.Tier]++
		}
		if c.Damaged {
			s.damaged[c.Tier]++
		}
	}
}

func newShown(key [2]string, x coverage.Component) *shown {
	s := &shown{source: key[0], component: key[1], drilled: x.Drilled, copies: x.Copies, offsite: x.Offsite, locked: x.LockedUntil}
	for _, c := range x.Tiers {
		s.tiers = append(s.tiers, spot{c.Tier, c.At, c.Verified})
	}
	return s
}

// worst keeps, of a pool's images, what is worst.
func (s *shown) worst(x coverage.Component) {
	if x.Last == "skipped" && x.Point == "" {
		return
	}
	s.copies, s.offsite = min(s.copies, x.Copies), s.offsite && x.Offsite
	s.drilled, s.locked = sooner(s.drilled, x.Drilled), sooner(s.locked, x.LockedUntil)
	for i, c := range x.Tiers {
		if i < len(s.tiers) {
			s.tiers[i].at, s.tiers[i].verified = sooner(s.tiers[i].at, c.At), sooner(s.tiers[i].verified, c.Verified)
		}
	}
}

// sooner is the earlier of two moments; never is earlier than any.
func sooner(a, b *time.Time) *time.Time {
	if a == nil || b == nil {
		return nil
	}
	if b.Before(*a) {
		return b
	}
	return a
}

func (v *view) collect(ch chan<- prometheus.Metric, now time.Time) {
	if !v.o.At.IsZero() {
		v.collectCloud(ch)
	}
	seen := map[[3]string]bool{}
	for _, b := range v.o.Broken {
		if key := [3]string{b.Promise, b.Tier, b.Source}; !seen[key] {
			seen[key] = true
			ch <- broken.sample(1, key[:]...)
		}
	}
	for _, t := range v.o.Tiers {
		collectTier(ch, t, now)
	}
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		v.collectSource(ch, name)
	}
	for _, s := range v.shown {
		s.collect(ch, now)
	}
}

// collectCloud gives what is known of the whole cloud once a look has seen it.
func (v *view) collectCloud(ch chan<- prometheus.Metric) {
	ch <- overviewTime.sample(seconds(v.o.At))
	ch <- kitConfirmed.sample(flag(v.o.Kit == ""))
	ch <- vaultBytes.sample(float64(v.o.Bytes))
	lost := 0
	for _, d := range v.o.Instant {
		if !d.Served {
			lost++
		}
	}
	ch <- depend.sample(float64(len(v.o.Instant)))
	ch <- unserved.sample(float64(lost))
}

func collectTier(ch chan<- prometheus.Metric, t coverage.Tier, now time.Time) {
	ch <- tierUp.sample(flag(t.Error == ""), t.Tier)
	if t.Error != "" {
		return // nothing more is known of it
	}
	ch <- tierPoints.sample(float64(t.Points), t.Tier)
	ch <- tierVerified.sample(age(t.Verified, now), t.Tier)
	if t.Capacity > 0 {
		ch <- tierFree.sample(float64(t.Free), t.Tier)
		ch <- backupFree.sample(float64(t.Free), t.Tier)
		ch <- tierCapacity.sample(float64(t.Capacity), t.Tier)
	}
	if t.Locks || t.LockedUntil != nil {
		ch <- tierLocked.sample(seconds(*cmp.Or(t.LockedUntil, &time.Time{})), t.Tier)
	}
}

// everyTwoDays is what the rule BackupTooOld holds every backup to.
const everyTwoDays = 2 * 24 * 3600

func (v *view) collectSource(ch chan<- prometheus.Metric, name string) {
	s := v.sources[name]
	ch <- components.sample(float64(s.count), name)
	ch <- unprotected.sample(float64(s.bare), name)
	ch <- rpo.sample(s.rpo, name)
	for _, t := range v.o.Tiers {
		ch <- late.sample(float64(s.late[t.Tier]), name, t.Tier)
		ch <- damaged.sample(float64(s.damaged[t.Tier]), name, t.Tier)
	}
	if s.rpo <= everyTwoDays && s.count > 0 {
		ch <- backupLast.sample(seconds(*cmp.Or(s.oldest, &time.Time{})), name)
	}
}

func (s *shown) collect(ch chan<- prometheus.Metric, now time.Time) {
	for _, t := range s.tiers {
		ch <- goodAge.sample(age(t.at, now), s.source, s.component, t.tier)
		ch <- verifiedAge.sample(age(t.verified, now), s.source, s.component, t.tier)
	}
	if drillable(s.source, s.component) {
		ch <- drilledAge.sample(age(s.drilled, now), s.source, s.component)
	}
	ch <- copies.sample(float64(s.copies), s.source, s.component)
	ch <- offsite.sample(flag(s.offsite), s.source, s.component)
	until := 0.0
	if s.locked != nil {
		until = seconds(*s.locked)
	}
	ch <- lockedUntil.sample(until, s.source, s.component)
}
