package point

import (
	"maps"
	"slices"
	"time"
)

// Judge derives a point's state and skew from its components: complete when every required one is good, failed when
// nothing was captured, else partial.
func Judge(components []Component) (State, float64) {
	state, captured := Complete, false
	for _, c := range components {
		captured = captured || c.State == Good || c.State == ComponentPartial
		if c.Required && c.State != Good || c.State == ComponentPartial || c.State == ComponentFailed {
			state = Partial
		}
	}
	if !captured {
		state = Failed
	}
	return state, skew(components).Seconds()
}

// skew is the time between the first and the last moment that the captured components are copies of. One that was taken
// over unchanged from an earlier point is also what its source holds now, however old the copy is.
func skew(components []Component) time.Duration {
	var first, last time.Time
	for _, c := range components {
		if c.At == nil || c.State != Good || c.Mode == Unchanged {
			continue
		}
		if first.IsZero() || c.At.Before(first) {
			first = *c.At
		}
		if c.At.After(last) {
			last = *c.At
		}
	}
	return last.Sub(first)
}

// Counts is how many components of one source are in which state.
type Counts struct {
	Good    int `json:"good"`
	Partial int `json:"partial"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// Sources counts the components of each source.
func (p Point) Sources() map[string]Counts {
	out := map[string]Counts{}
	for _, c := range p.Components {
		n := out[c.Source]
		switch c.State {
		case Good:
			n.Good++
		case ComponentPartial:
			n.Partial++
		case ComponentFailed:
			n.Failed++
		case Skipped:
			n.Skipped++
		}
		out[c.Source] = n
	}
	return out
}

// Whole are the sources that would make a complete point alone.
func (p Point) Whole() (sources []string) {
	of := map[string][]Component{}
	for _, c := range p.Components {
		of[c.Source] = append(of[c.Source], c)
	}
	for _, source := range slices.Sorted(maps.Keys(of)) {
		if state, _ := Judge(of[source]); state == Complete {
			sources = append(sources, source)
		}
	}
	return sources
}

// SourceGood reports whether everything required of a source was captured well, and at least one component was.
func (p Point) SourceGood(source string) bool {
	good := false
	for _, c := range p.Components {
		if c.Source != source {
			continue
		}
		if c.Required && c.State != Good {
			return false
		}
		good = good || c.State == Good
	}
	return good
}

// Component finds a component by source and name.
func (p Point) Component(source, name string) (Component, bool) {
	for _, c := range p.Components {
		if c.Source == source && c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}
