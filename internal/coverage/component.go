package coverage

import (
	"maps"
	"slices"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/verify"
)

// neverTried is the reason of what every run so far was told to leave out.
const neverTried = "never tried"

// Component is what is known of one component.
type Component struct {
	Source     string     `json:"source"`
	Component  string     `json:"component"`
	Point      string     `json:"point"` // newest with a good copy, "" when there is none
	At         *time.Time `json:"at"`
	AgeSeconds float64    `json:"age_seconds"`
	Verified   *time.Time `json:"verified"` // when that point was last found whole
	Damaged    bool       `json:"damaged"`  // that point was last found damaged
	Last       string     `json:"last"`     // state in the newest point that tried, "" when none did
	Reason     string     `json:"reason"`   // why it is not good there
	Cover
}

// components gathers, from the newest point to the oldest, what is known of each component.
func components(points []point.Point, found verify.Findings, now time.Time) []Component {
	known := map[string]*Component{}
	planned := map[string]bool{} // sources that a newer point could list the components of
	for _, p := range slices.Backward(points) {
		for _, c := range p.Components {
			if c.Name == point.PlanName && planned[c.Source] {
				continue // that trouble is over
			}
			key := c.Source + " " + c.Name
			if known[key] == nil {
				known[key] = &Component{Source: c.Source, Component: c.Name}
			}
			known[key].add(p, c, found, now)
		}
		for _, c := range p.Components {
			planned[c.Source] = planned[c.Source] || c.Name != point.PlanName
		}
	}
	all := []Component{}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if x := known[key]; x.Last == "" {
			x.Reason = neverTried
		}
		all = append(all, *known[key])
	}
	return all
}

// add takes in what an older point says.
func (x *Component) add(p point.Point, c point.Component, found verify.Findings, now time.Time) {
	if x.Last == "" && !source.NotAsked(c) {
		x.Last = string(c.State)
		if c.State != point.Good {
			x.Reason = c.Reason
		}
	}
	if x.Point != "" || c.State != point.Good {
		return
	}
	at := c.Started
	if c.At != nil {
		at = *c.At
	}
	x.Point, x.At, x.AgeSeconds = p.ID, &at, now.Sub(at).Seconds()
	x.Verified, x.Damaged = found.Good(p.ID), found[p.ID].Damaged > 0
}

// unprotected are the configured sources that no point names.
func unprotected(points []point.Point, configured []string) []Component {
	var none []Component
	for _, name := range configured {
		named := func(p point.Point) bool { _, ok := p.Sources()[name]; return ok }
		if !slices.ContainsFunc(points, named) {
			none = append(none, Component{Source: name, Reason: neverTried})
		}
	}
	return none
}
