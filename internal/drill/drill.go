// Package drill rehearses the restore of a database: its copies are brought back into a directory of their own, servers that
// nobody else can reach are started on them, and what they hold is held against what was recorded while the copies were taken.
//
//	part    one copy of a point that is restored, the logical or the physical one
//	step    a piece of a part, whose time is taken
//	finding what is not as the point says
//
// Nothing of a drill stays but its result. What one that was killed left is found by its directory, and removed by the next.
package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/restore"
	"holdfast/internal/source/mariadb"
)

// Options say what is drilled, and with what.
type Options struct {
	Restorer *restore.Restorer
	Point    point.Point
	Tier     string
	Shard    int
	State    string // the state directory
	Host     string // name of this machine, for the result
	Version  string // of Holdfast, for the result
	// Password returns the password that a user of the database has today, and since when. It reports false for one that is not
	// at hand.
	Password func(ctx context.Context, user string) (Password, bool)
}

// run is a drill on its way.
type run struct {
	Options
	place  *place
	result point.Drill
}

// parts are the copies that are drilled, and how.
var parts = []struct {
	name  string
	drill func(*part) error
}{
	{"logical", (*part).logical},
	{"physical", (*part).physical},
}

// MariaDB drills the copies of a shard. The result tells of what was done even if the error is not nil, which is a problem of kind
// Damage when a copy is not what it should be, and Partial when the point holds only one of them.
func MariaDB(ctx context.Context, o Options) (point.Drill, error) {
	began := o.Restorer.Now()
	r := &run{Options: o, result: point.Drill{
		ID: began.UTC().Format("20060102T150405") + "-" + rand.Text()[:6], Point: o.Point.ID, Tier: o.Tier, Host: o.Host, Source: mariadb.SourceName,
		Shard: o.Shard, Started: began.UTC(), Holdfast: o.Version, State: point.Undone, Parts: []point.DrillPart{},
	}}
	err := r.all(ctx)
	r.result.Seconds = o.Restorer.Now().Sub(began).Seconds()
	r.result.State = state(r.result.Parts, err)
	if err != nil {
		r.result.Reason = err.Error()
	}
	switch {
	case r.result.State == point.Differs:
		return r.result, errors.Join(r.damage(), err)
	case err == nil && len(r.result.Parts) < len(parts):
		return r.result, problem.New(problem.Partial, "holdfast show "+r.Point.ID+" says why; holdfast drill mariadb chooses a point with both",
			"point %s holds only one good copy of shard %d, which was drilled", r.Point.ID, r.Shard)
	}
	return r.result, err
}

func (r *run) all(ctx context.Context) (err error) {
	components, err := r.copies()
	if err != nil {
		return err
	}
	if r.place, err = newPlace(ctx, r.State, r.result.ID); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.place.remove(context.WithoutCancel(ctx))) }()
	restorer := *r.Restorer
	restorer.Loads = r.place.loads
	r.Restorer = &restorer
	if err := r.room(components); err != nil {
		return err
	}
	for _, p := range parts { // what keeps one from being drilled need not keep the other
		if c, ok := components[p.name]; ok && ctx.Err() == nil {
			err = errors.Join(err, r.part(ctx, p.name, c, p.drill))
		}
	}
	return err
}

// copies finds the good copies of the shard.
func (r *run) copies() (map[string]point.Component, error) {
	found := map[string]point.Component{}
	for _, p := range parts {
		if c, ok := r.Point.Component(mariadb.SourceName, fmt.Sprintf("shard%d/%s", r.Shard, p.name)); ok && c.State == point.Good {
			found[p.name] = c
		}
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "holdfast points shows which points hold a good one; without a POINT the newest is drilled",
			"point %s holds no good copy of shard %d", r.Point.ID, r.Shard)
	}
	return found, nil
}

// part drills one copy, in a directory of its own that is gone afterwards.
func (r *run) part(ctx context.Context, name string, c point.Component, drill func(*part) error) error {
	dir, err := r.place.sub(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the servers
	p := &part{run: r, ctx: ctx, name: name, dir: dir, component: c, began: r.Restorer.Now(), result: point.DrillPart{
		Component: c.Name, State: point.Proven, Server: text(c.Identity, "server_version"), Steps: []point.DrillStep{}, Findings: []point.DrillFinding{},
	}}
	err = p.prepared(drill)
	cancel()
	err = errors.Join(err, p.close())
	p.result.Seconds = r.Restorer.Now().Sub(p.began).Seconds()
	if len(p.result.Findings) > 0 {
		p.result.State = point.Differs
	}
	if err != nil && p.result.State == point.Proven {
		p.result.State = point.Undone
	}
	r.result.Parts = append(r.result.Parts, p.result)
	if err != nil {
		return problem.Wrap(err, "drill "+c.Name+" of point "+r.Point.ID, "from tier "+r.Tier)
	}
	return nil
}

// state is that of a drill with these parts, which ended with err.
func state(all []point.DrillPart, err error) point.DrillState {
	switch {
	case slices.ContainsFunc(all, func(p point.DrillPart) bool { return p.State == point.Differs }):
		return point.Differs
	case err != nil:
		return point.Undone
	}
	return point.Proven
}

// damage is the problem that the findings are.
func (r *run) damage() error {
	var all []string
	for _, p := range r.result.Parts {
		for _, f := range p.Findings {
			all = append(all, fmt.Sprintf("%s: %s %s: %s", p.Component, f.What, f.Name, f.Text))
		}
	}
	more := ""
	if len(all) > 1 {
		more = fmt.Sprintf("; and %d more", len(all)-1)
	}
	component, text, _ := strings.Cut(all[0], ": ")
	return problem.New(problem.Damage, fmt.Sprintf("holdfast verify %s --tier %s --full tells whether the copy is as it was stored (--heal mends it from another tier); drill another point or tier, and take a backup now",
		r.Point.ID, r.Tier), "%s of point %s, drilled on %s from tier %s, is not what it should be: %s%s", component, r.Point.ID, r.Host, r.Tier, text, more)
}

// emit tells of a step.
func (r *run) emit(ev event.Event) {
	ev.Time = r.Restorer.Now().UTC()
	if r.Restorer.Listen != nil {
		r.Restorer.Listen(ev)
	}
}

// text returns an identity's value as text, "" when it is absent.
func text(id map[string]any, key string) string {
	if v, ok := id[key]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// number returns an identity's value as a number, and reports whether there is one.
func number(id map[string]any, key string) (int64, bool) {
	switch v := id[key].(type) {
	case float64: // from JSON
		return int64(v), true
	case int64:
		return v, true
	case uint32:
		return int64(v), true
	}
	return 0, false
}
