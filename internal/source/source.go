// Package source is what every kind of thing to back up has in common: it plans its components and captures each one
// into a tree.
package source

import (
	"context"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/stream"
)

// Source is a kind of thing to back up. Implementations stand in the packages below.
type Source interface {
	// Name is the word of the command line: mariadb, kolla, ceph, rbd.
	Name() string
	// Plan looks at the cloud as it is now and says what would be captured, from where, and why.
	Plan(ctx context.Context) (Plan, error)
	// Capture streams one planned component into sink and returns only when the stream has proven its own end. An
	// error means the component failed and its tree is dropped; an Outcome with State ComponentPartial keeps what was
	// captured and says by name what was not.
	Capture(ctx context.Context, t Task, sink Sink) (Outcome, error)
}

// Plan is a list of independent tasks, and what the planner wants to tell about what it left out.
type Plan struct {
	Tasks []Task   `json:"tasks"`
	Notes []string `json:"notes,omitempty"`
	// Skipped are components that cannot be captured now (a host that is down), with their reason. A required one
	// makes the point partial.
	Skipped []Task `json:"skipped,omitempty"`
}

// Task is one component to capture: a value that any process with the configuration could run.
type Task struct {
	Source   string     `json:"source"`
	Name     string     `json:"name"` // unique within the source: "shard0/physical", "ctl1"
	Kind     point.Kind `json:"kind"`
	Mode     point.Mode `json:"mode"`
	Host     string     `json:"host"`
	Reason   string     `json:"reason"` // why this host, why this mode
	Path     string     `json:"path"`   // where its tree stands: "mariadb/shard0/physical"
	Required bool       `json:"required"`
	Estimate int64      `json:"estimate"` // bytes to read, 0 when unknown
	// Parent is the point whose copy of the component stands unchanged; the engine takes it over without a capture.
	// Only for Mode Unchanged.
	Parent string            `json:"parent,omitempty"`
	Args   map[string]string `json:"args,omitempty"`
}

// Sink is where a component goes.
type Sink struct {
	Tree stream.Tree
	// Read is told how many more bytes came from the source.
	Read func(n int64)
	// Note tells the operator something while the capture runs.
	Note func(text string)
}

// Outcome is what a capture proved.
type Outcome struct {
	State    point.ComponentState // Good or ComponentPartial
	Reason   string               // for a partial one, what is missing, by name
	Identity map[string]any
	Proof    map[string]any
	Notes    []string
	// At is the moment whose state the copy holds; zero when the copy is not of one moment.
	At time.Time
}
