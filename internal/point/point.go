// Package point is the recovery point: what one backup run captured, with its states, identities and proofs, and how
// an operator names one. Its JSON is the manifest in the vault and the output of show --json; fields are only ever
// added.
package point

import "time"

// State of a whole point.
type State string

// A point is Complete when every required component is good, Partial when some are, else Failed.
const (
	Complete State = "complete"
	Partial  State = "partial"
	Failed   State = "failed"
)

// ComponentState is the state of one component.
type ComponentState string

// A component is Good only when its stream proved its own end and what was written was found in the vault again.
const (
	Good             ComponentState = "good"
	ComponentPartial ComponentState = "partial"
	ComponentFailed  ComponentState = "failed"
	Skipped          ComponentState = "skipped"
)

// Kind of a component.
type Kind string

// The kinds of components.
const (
	Physical Kind = "physical"
	Logical  Kind = "logical"
	Image    Kind = "image"
	Files    Kind = "files"
	Metadata Kind = "metadata"
)

// Mode says how a component was captured.
type Mode string

// The modes of capture.
const (
	Full        Mode = "full"
	Incremental Mode = "incremental"
	Unchanged   Mode = "unchanged"
)

// Point is a recovery point.
type Point struct {
	ID          string      `json:"id"`
	Cloud       string      `json:"cloud"`
	Started     time.Time   `json:"started"`
	Finished    time.Time   `json:"finished"`
	State       State       `json:"state"`
	SkewSeconds float64     `json:"skew_seconds"`
	Version     string      `json:"holdfast_version"`
	Components  []Component `json:"components"`
	Tiers       []Tier      `json:"tiers,omitempty"`
	Drills      []Drill     `json:"drills,omitempty"` // of its copy in one tier, where they are told
	Notes       []string    `json:"notes,omitempty"`
}

// PlanName names the failed component that stands for a source whose components could not even be listed.
const PlanName = "plan"

// Component is one thing inside a source, as captured. Path is where its tree stands in the source's snapshot.
type Component struct {
	Source    string         `json:"source"`
	Name      string         `json:"name"`
	Kind      Kind           `json:"kind"`
	Mode      Mode           `json:"mode"`
	State     ComponentState `json:"state"`
	Required  bool           `json:"required"`
	Reason    string         `json:"reason"`
	Host      string         `json:"host"`
	Path      string         `json:"path"`
	Started   time.Time      `json:"started"`
	At        *time.Time     `json:"consistent_at,omitempty"` // the moment it is a copy of, where there is one
	Parent    string         `json:"parent,omitempty"`        // the point whose copy was taken over unchanged, or built on
	BytesRead int64          `json:"bytes_read"`
	BytesNew  int64          `json:"bytes_new"`
	Seconds   float64        `json:"seconds"`
	Identity  map[string]any `json:"identity"` // what it is a copy of
	Proof     map[string]any `json:"proof"`    // how its end was proven
	Notes     []string       `json:"notes,omitempty"`
}

// Tier says what one tier holds of a point.
type Tier struct {
	Tier        string     `json:"tier"`
	Held        bool       `json:"held"`
	Verified    *time.Time `json:"verified"`
	Depth       string     `json:"verified_depth,omitempty"`   // how much of it was read then: quick, sample or full
	Percent     float64    `json:"verified_percent,omitempty"` // how much a sample was
	ReadInFull  *time.Time `json:"read_in_full,omitempty"`     // when all of it was last read and found whole
	Damaged     int        `json:"damaged,omitempty"`          // how much was found damaged last
	LockedUntil *time.Time `json:"locked_until"`
	KeepReason  string     `json:"keep_reason"`
}
