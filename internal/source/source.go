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
	// error means the component failed and its tree is dropped, and of the Outcome only the Identity is kept; an Outcome with
	// State ComponentPartial keeps what was captured and says by name what was not.
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
	// Parent is the point whose copy of the component stands unchanged, which the engine takes over without a capture, or
	// which an incremental capture begins with. Empty for Mode Full.
	Parent string `json:"parent,omitempty"`
	// At is the moment whose state an unchanged copy was found to be still; zero when that was not looked for.
	At   time.Time         `json:"at,omitzero"`
	Args map[string]string `json:"args,omitempty"`
	// Identity and Proof are what was found beside what the capture says, or the component of an unchanged copy: they come last,
	// and nil takes a value away. Notes are told and kept with the component.
	Identity map[string]any `json:"-"`
	Proof    map[string]any `json:"-"`
	Notes    []string       `json:"-"`
}

// Barrier is a source that fixes the moment its components are copies of before any of them is read.
type Barrier interface {
	Source
	// Hold fixes the planned components, as close together as it can, for the run that will make the point of that id. What
	// cannot be fixed comes with its error; the others are the tasks to capture, which may differ from the plan.
	Hold(ctx context.Context, run string, tasks []Task) []Held
	// Release is called once after Hold, when the run is over: with what of the run is in the vault to build on, its point and
	// its checkpoints, or nil if nothing is. It lets go of what no later run needs.
	Release(ctx context.Context, sealed *point.Point, note func(text string)) error
}

// Held is a task whose moment is fixed, or that failed to be.
type Held struct {
	Task Task
	Err  error
}

// Sink is where a component goes.
type Sink struct {
	Tree stream.Tree
	// Image begins the component as one block image, instead of a tree. With a parent the image holds what the task's
	// Parent holds wherever nothing else is written, else zeros.
	Image func(o ImageOptions) (stream.Image, error)
	// Read is told how many more bytes came from the source.
	Read func(n int64)
	// Note tells the operator something while the capture runs.
	Note func(text string)
}

// ImageOptions describe a block image; sizes are in bytes.
type ImageOptions struct {
	Size int64
	// Block is the size of the pieces it is cut into, 0 for what suits its size.
	Block int64
	// The first Head bytes are cut as those of an image of HeadSize bytes in pieces of HeadBlock, 0 for what suits that size.
	Head, HeadSize, HeadBlock int64
	// Parent says that the image begins as the copy in the task's Parent.
	Parent bool
	// Base is the copy that it begins with if that is of another component.
	Base Base
}

// Base is the copy of a component in an earlier point.
type Base struct{ Point, Component string }

// Outcome is what a capture proved.
type Outcome struct {
	State    point.ComponentState // Good or ComponentPartial
	Mode     point.Mode           // Full for a capture that did not build on the task's Parent after all; else empty
	Reason   string               // for a partial one, what is missing, by name; why it is no increment
	Identity map[string]any
	Proof    map[string]any
	Notes    []string
	// At is the moment whose state the copy holds; zero when the copy is not of one moment.
	At time.Time
}
