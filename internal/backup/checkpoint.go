package backup

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// Checkpoint is what a run had captured well of a source, and what no point holds unless the run ended well after all. It is
// no point: it is only there for the next run to build on.
type Checkpoint struct {
	Run        string
	Components []point.Component // the good ones

	orphan vault.Orphan
	tree   *vault.FS
}

// Checkpoints returns what runs that were killed left of a source. While a run of the source is on its way, that run's are
// among them. One that cannot be read is left out: what it holds is captured again.
func Checkpoints(ctx context.Context, v *vault.Vault, source string) ([]Checkpoint, error) {
	orphans, err := v.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	all, _ := readCheckpoints(ctx, source, orphans)
	return all, ctx.Err()
}

// readCheckpoints reads the orphans of a source. Those that cannot be are returned as they are.
func readCheckpoints(ctx context.Context, source string, orphans []vault.Orphan) (all []Checkpoint, unreadable []vault.Orphan) {
	for _, o := range orphans {
		if o.Source != source {
			continue
		}
		var m manifest
		if err := o.Manifest(ctx, &m); err != nil {
			unreadable = append(unreadable, o)
			continue
		}
		good := slices.DeleteFunc(m.Components, func(c point.Component) bool { return c.State != point.Good })
		all = append(all, Checkpoint{Run: o.Point, Components: good, orphan: o, tree: o.FS(ctx)})
	}
	return all, unreadable
}

// component finds the good copy that a checkpoint has.
func (c Checkpoint) component(name string) (point.Component, bool) {
	for _, k := range c.Components {
		if k.Name == name {
			return k, true
		}
	}
	return point.Component{}, false
}

// sweep deletes what earlier runs left in the vault of this run's sources and no run can build on. Only what a Barrier holds
// outlives its run, so that of other sources nothing stays. It notes of which anything does.
func (r *run) sweep(ctx context.Context) error {
	orphans, err := r.Vault.Orphans(ctx)
	if err != nil || len(orphans) == 0 {
		return err
	}
	points, err := r.Vault.Points(ctx)
	if err != nil {
		return err
	}
	var gone []vault.Orphan
	for _, s := range r.Sources {
		all, unreadable := readCheckpoints(ctx, s.Name(), orphans)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gone = append(gone, unreadable...)
		_, holds := s.(source.Barrier)
		settled := newSettled(s.Name(), points, all)
		for _, c := range all {
			if holds && !settled.all(c) {
				r.resumed[s.Name()] = true
				continue
			}
			gone = append(gone, c.orphan)
		}
	}
	return r.Vault.Sweep(ctx, gone...)
}

// settled knows which components of a source no run wants from a checkpoint any more.
type settled struct {
	sealed, kept map[string]time.Time // when the newest good copy of a component was begun, in points and in checkpoints
	last         *point.Point         // the newest that could list the source's components, nil when there is none
	listed       map[string]point.Component
}

func newSettled(of string, points []point.Point, checkpoints []Checkpoint) settled {
	s := settled{map[string]time.Time{}, map[string]time.Time{}, nil, map[string]point.Component{}}
	for n, p := range points { // oldest first
		listed := map[string]point.Component{}
		for _, c := range p.Components {
			if c.Source != of {
				continue
			}
			listed[c.Name] = c
			if c.State == point.Good {
				s.sealed[c.Name] = c.Started
			}
		}
		if _, failed := listed[point.PlanName]; len(listed) > 0 && !failed {
			s.last, s.listed = &points[n], listed
		}
	}
	for _, k := range checkpoints {
		for _, c := range k.Components {
			if c.Started.After(s.kept[c.Name]) {
				s.kept[c.Name] = c.Started
			}
		}
	}
	return s
}

func (s settled) all(c Checkpoint) bool {
	return !slices.ContainsFunc(c.Components, func(k point.Component) bool { return !s.settled(k) })
}

// settled reports whether a component has a newer good copy, or is not there or not to be captured any more.
func (s settled) settled(k point.Component) bool {
	if at, ok := s.sealed[k.Name]; ok && !at.Before(k.Started) || s.kept[k.Name].After(k.Started) {
		return true
	}
	if s.last == nil || s.last.Started.Before(k.Started) {
		return false
	}
	c, ok := s.listed[k.Name]
	return !ok || c.State == point.Skipped && !c.Required && !source.NotAsked(c)
}
