package rbd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/rows"
	"holdfast/internal/source"
)

// set is the images that are captured together: all of a server's that were asked for, or one that belongs to none.
type set struct {
	source  *Source
	server  *rows.Server // nil for none
	members []*member

	wanted bool   // that the server stands still
	why    string // it did not though it was wanted
	lost   string // whether it goes on is not known
	stood  bool   // it stood still until all snapshots were there
}

// member is an image of a set.
type member struct {
	*image
	planned source.Task
	held    *source.Held
}

func (m *member) unchanged() bool { return m.held.Task.Mode == point.Unchanged }

// sets parts what is to be captured by the servers.
func (s *Source) sets(tasks []source.Task, held []source.Held) []*set {
	owners := s.owners()
	servers := map[string]*set{}
	var all []*set
	for n := range tasks {
		m := &member{s.image(tasks[n].Name), tasks[n], &held[n]}
		of := owners[m.owned()]
		if len(of) == 0 {
			all = append(all, &set{source: s, members: []*member{m}})
			continue
		}
		k := servers[of[0].ID]
		if k == nil {
			k = &set{source: s, server: &of[0]}
			servers[of[0].ID], all = k, append(all, k)
		}
		k.members = append(k.members, m)
	}
	for _, k := range servers {
		k.wish()
		for _, m := range k.members {
			for _, other := range owners[m.owned()] {
				if of := servers[other.ID]; of != nil && len(owners[m.owned()]) > 1 {
					of.why = m.component + " is attached to several servers"
				}
			}
		}
	}
	return all
}

// owned is what the databases know an image by.
func (i *image) owned() string {
	if k, id := i.kind(); k == aVolume || k == aDisk {
		return id
	}
	return ""
}

// owners are the living servers that an image belongs to, by the id in the image's name.
func (s *Source) owners() map[string][]rows.Server {
	owners := map[string][]rows.Server{}
	if s.facts == nil {
		return owners
	}
	for _, id := range slices.Sorted(maps.Keys(s.facts.Servers)) {
		v := s.facts.Servers[id]
		if v.Deleted {
			continue
		}
		for _, image := range append(slices.Clone(v.Volumes), v.ID) {
			owners[image] = append(owners[image], v)
		}
	}
	return owners
}

// wish decides whether the server is to stand still, and why it cannot.
func (k *set) wish() {
	var most wish
	for _, m := range k.members {
		most = max(most, m.freeze)
	}
	k.wanted = most == toFreeze
	switch {
	case k.why != "":
	case !k.source.facts.Live:
		k.why = "no running database tells where the server is"
	case k.server.Status != "active":
		k.why = "it does not run, but is " + k.server.Status
	case k.server.Host == "":
		k.why = "it is on no compute"
	}
}

func (k *set) fail(err error) {
	for _, m := range k.members {
		if !m.unchanged() {
			m.held.Err = err
		}
	}
}

// hold takes the snapshots of the set.
func (k *set) hold(ctx context.Context, run string) {
	if k.settled() {
		k.tell(nil)
		return
	}
	if quiet := k.quiet(ctx); quiet != nil {
		for _, m := range k.members { // also those that were found unchanged before
			m.held.Task = m.planned
		}
		k.each(func(m *member) error { return m.snap(ctx, run) })
		k.release(quiet)
		k.each(func(m *member) error { return m.look(ctx) })
	} else {
		k.each(func(m *member) error {
			looked := make(chan error, 1)
			go func() { looked <- m.look(ctx) }()
			return errors.Join(m.snap(ctx, run), <-looked)
		})
	}
	k.tell(run)
}

// each does something for all members that are captured, side by side.
func (k *set) each(do func(*member) error) {
	each(len(k.members), func(n int) {
		if m := k.members[n]; !m.unchanged() && m.held.Err == nil {
			m.held.Err = do(m)
		}
	})
}

// quiet makes the server stand still, if that is wanted.
func (k *set) quiet(ctx context.Context) *still {
	if !k.wanted || k.why != "" {
		return nil
	}
	quiet, err := k.source.Freeze.still(ctx, *k.server)
	if err != nil {
		k.why = err.Error()
	}
	return quiet
}

// release lets the server go on, and judges whether it stood still for long enough.
func (k *set) release(quiet *still) {
	moved, err := quiet.release()
	if err != nil {
		k.lost = err.Error()
	}
	k.stood, k.why = moved == "", moved
	for _, m := range k.members {
		if m.held.Err != nil {
			k.stood, k.why = false, fmt.Sprintf("the snapshot of %s failed", m.component)
		}
	}
}

// settled reports whether nothing is to be captured: nothing changed, and either the server stood still when all of the set
// was captured, or it is not to.
func (k *set) settled() bool {
	freezes := map[any]bool{}
	for _, m := range k.members {
		if !m.unchanged() {
			return false
		}
		if m.copy != nil && k.server != nil && m.copy.Component.Identity["server"] == k.server.ID {
			freezes[m.copy.Component.Proof["freeze"]] = true
		} else {
			freezes[nil] = true
		}
	}
	k.stood = len(freezes) == 1 && !freezes[nil]
	return k.stood || !k.wanted || k.why != ""
}

// tell adds to the tasks what is known of the set, which stood still for the freeze of that name. What unchanged copies said
// of another set is taken away.
func (k *set) tell(freeze any) {
	identity := map[string]any{"server": nil, "server_name": nil}
	proof := map[string]any{"consistency": point.Crash, "freeze": nil, "server_images": nil, "server_skew_seconds": nil}
	if k.server != nil {
		identity = map[string]any{"server": k.server.ID, "server_name": k.server.Name}
		proof["server_images"], proof["server_skew_seconds"] = len(k.members), k.skew()
	}
	switch {
	case k.stood && freeze == nil:
		proof = nil // that of the copies that are taken over
	case k.stood:
		proof["consistency"], proof["freeze"] = point.Frozen, freeze
	}
	for _, m := range k.members {
		if m.glances() {
			continue
		}
		t := &m.held.Task
		if t.Identity == nil {
			t.Identity = map[string]any{}
		}
		maps.Copy(t.Identity, identity)
		t.Proof = proof
		t.Notes = append(t.Notes, k.notes()...)
	}
}

func (k *set) notes() (notes []string) {
	if k.wanted && !k.stood {
		notes = append(notes, fmt.Sprintf("server %s was not frozen: %s", k.server.ID, k.why))
	}
	if k.lost != "" {
		notes = append(notes, fmt.Sprintf("make sure that server %s goes on, with virsh domfsthaw on %s: %s", k.server.ID, k.server.Host, k.lost))
	}
	return notes
}

// skew is the time within which all of the set's moments lie, in seconds.
func (k *set) skew() float64 {
	var first, last time.Time
	for _, m := range k.members {
		at, until := m.at, m.until
		if m.unchanged() {
			at, until = m.held.Task.At, m.held.Task.At
		}
		if m.held.Err != nil || at.IsZero() {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if until.After(last) {
			last = until
		}
	}
	if len(k.members) < 2 {
		return 0
	}
	return math.Round(last.Sub(first).Seconds()*1000) / 1000
}
