// Package restore brings a recovery point back. Every restore is a plan first: what it will do, where, how much space
// it needs and has, and what speaks against it. Nothing is touched until the plan was accepted, and what a restore
// replaces is moved aside, never deleted.
package restore

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// The names under which an operator may accept what speaks against a restore.
const (
	AcceptVersion  = "version"  // the server or tool that would read the copy differs from the one that wrote it
	AcceptIdentity = "identity" // the target is not what the copy was taken of
	AcceptWriters  = "writers"  // somebody still writes to the target
	AcceptSpace    = "space"    // there may not be enough room
)

// Acceptable lists the names that --accept knows.
var Acceptable = []string{AcceptVersion, AcceptIdentity, AcceptWriters, AcceptSpace}

// Plan says what a restore would do. It is printed before anything happens and is the output of a dry run.
type Plan struct {
	Title    string    `json:"title"`
	Point    string    `json:"point"`
	Steps    []string  `json:"steps"`
	Space    []Space   `json:"space"`
	Notes    []string  `json:"notes,omitempty"`
	Refusals []Refusal `json:"refusals,omitempty"`
	Undo     []string  `json:"undo,omitempty"`    // how to take it back by hand
	Keeps    bool      `json:"-"`                 // something is replaced, and kept for that
	Outcome  []string  `json:"outcome,omitempty"` // what there is to tell at its end
}

// Space is the room a restore needs in one place, in bytes.
type Space struct {
	Where string `json:"where"`
	Need  int64  `json:"need"`
	Free  int64  `json:"free"`
}

// Refusal is a reason not to go on. Name is empty for one that cannot be accepted.
type Refusal struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// refuse adds a reason not to go on.
func (p *Plan) refuse(name, hint, format string, args ...any) {
	p.Refusals = append(p.Refusals, Refusal{Name: name, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// needs records what a place must hold, and refuses when it is short.
func (p *Plan) needs(where string, need, free int64) {
	p.Space = append(p.Space, Space{where, need, free})
	if free < need {
		p.refuse(AcceptSpace, "make room, or restore elsewhere", "%s has %s free and %s are needed", where, size(free), size(need))
	}
}

// Check returns the first refusal that was not accepted by name, as a problem.
func (p *Plan) Check(accepted []string) error {
	for _, a := range accepted {
		if !slices.Contains(Acceptable, a) {
			return problem.New(problem.Usage, "it takes a list of: "+strings.Join(Acceptable, ", "), "--accept does not know %q", a)
		}
	}
	for _, r := range p.Refusals {
		if r.Name != "" && slices.Contains(accepted, r.Name) {
			continue
		}
		hint := r.Hint
		if r.Name != "" {
			hint = strings.TrimPrefix(hint+"; or go on all the same with --accept "+r.Name, "; ")
		}
		return problem.New(problem.Failed, hint, "%s refused: %s", p.Title, r.Text)
	}
	return nil
}

// size prints bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, exp := float64(n)/unit, 0
	for f >= unit && exp < 4 {
		f, exp = f/unit, exp+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[exp])
}
