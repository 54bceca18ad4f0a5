// Package job says what Holdfast does by itself: a job is a chain of commands that an operator could have typed, and a result is
// what came of one of them. The daemon, a timer's `holdfast run`, alerts and metrics all speak of these two.
package job

import (
	"time"
)

// Job is a chain of commands with a name. Its steps are done in their order; what fails does not keep the next tier's steps, or
// the report, from their turn, but nothing is verified or removed on the ground of a step that did not end well.
type Job struct {
	Name  string `json:"name"` // as holdfast.yml names it, such as database
	Steps []Step `json:"steps"`
}

// Step is one command of a job.
type Step struct {
	Args []string `json:"args"` // of holdfast, such as: backup mariadb
	// Uses are what no two steps may use at one time: source:mariadb, tier:s3.
	Uses []string `json:"uses"`
}

// Verb is the command without its arguments.
func (s Step) Verb() string {
	if len(s.Args) == 0 {
		return ""
	}
	return s.Args[0]
}

// Result is what came of a step, whoever ran it.
type Result struct {
	Run      string    `json:"run"`           // common to the steps of one run of a job
	Job      string    `json:"job,omitempty"` // "" of what an operator typed
	Args     []string  `json:"args"`
	Sources  []string  `json:"sources,omitempty"` // that it was about; none means all
	Tier     string    `json:"tier,omitempty"`    // that it was about; "" is the first, or all
	Due      time.Time `json:"due,omitzero"`      // by the schedule
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Exit     int       `json:"exit"`            // exit code of the command
	Kind     string    `json:"kind,omitempty"`  // of the problem, as --json names it: failed, partial, damage, …; "" when done
	Error    string    `json:"error,omitempty"` // in one line, without secrets
	Hint     string    `json:"hint,omitempty"`  // what to do next
	Point    string    `json:"point,omitempty"` // that a backup took, or that a drill restored
	Whole    []string  `json:"whole,omitempty"` // sources of which a backup lacks nothing, whatever came of others
	Read     int64     `json:"read,omitempty"`  // bytes read from the source or the tier
	New      int64     `json:"new,omitempty"`   // bytes added to the vault, or sent to the tier
	Try      int       `json:"try,omitempty"`   // 1 the first time, more when it was tried again
	// Again is when a step that failed is tried again by itself; zero when it is not.
	Again time.Time `json:"again,omitzero"`
}

// Step is the command without its arguments.
func (r Result) Step() string { return Step{Args: r.Args}.Verb() }

// Good reports whether the step was done to its end.
func (r Result) Good() bool { return r.Exit == 0 }
