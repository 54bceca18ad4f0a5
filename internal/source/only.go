package source

import (
	"path"
	"strings"

	"holdfast/internal/point"
)

// Only leaves the tasks whose name matches pattern, as path.Match has it, and moves the others to the skipped ones with
// that as their reason, so that a point says that it was never meant to hold them. An empty pattern leaves the plan as
// it is. A malformed pattern matches nothing.
func (p Plan) Only(pattern string) Plan {
	if pattern == "" {
		return p
	}
	out := Plan{Notes: p.Notes}
	for _, t := range p.Tasks {
		if named(t, pattern) {
			out.Tasks = append(out.Tasks, t)
		} else {
			out.Skipped = append(out.Skipped, leftOut(t, pattern))
		}
	}
	for _, t := range p.Skipped {
		if !named(t, pattern) {
			t = leftOut(t, pattern)
		}
		out.Skipped = append(out.Skipped, t)
	}
	return out
}

func named(t Task, pattern string) bool {
	ok, err := path.Match(pattern, t.Name)
	return err == nil && ok
}

// leftOut is a task that nobody asked for, so that its absence is no fault.
func leftOut(t Task, pattern string) Task {
	t.Required = false
	t.Reason = notAsked + pattern
	return t
}

const notAsked = "not asked for: only "

// NotAsked reports whether a component was left out of its point because nobody asked for it.
func NotAsked(c point.Component) bool {
	return c.State == point.Skipped && strings.HasPrefix(c.Reason, notAsked)
}
