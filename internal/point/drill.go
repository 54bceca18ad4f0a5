package point

import "time"

// DrillState says how a drill ended.
type DrillState string

// A drill is Proven when every copy that was to be restored was, and is what the point says that it is. It Differs when one is
// not. When it could not be done, as for want of room, it is Undone and says nothing of the copies.
const (
	Proven  DrillState = "proven"
	Differs DrillState = "differs"
	Undone  DrillState = "undone"
)

// Drill is the result of one rehearsed restore of a point, as it is kept beside the point.
type Drill struct {
	ID       string     `json:"id"`
	Point    string     `json:"point"`
	Tier     string     `json:"tier"` // that was restored from
	Host     string     `json:"host"` // where it ran
	Source   string     `json:"source"`
	Shard    int        `json:"shard"`
	Started  time.Time  `json:"started"`
	Seconds  float64    `json:"seconds"`
	State    DrillState `json:"state"`
	Reason   string     `json:"reason,omitempty"` // why it is undone
	Holdfast string     `json:"holdfast_version"`
	// Parts are the copies that were restored, in that order.
	Parts []DrillPart `json:"parts"`
}

// DrillPart is what a drill found of one copy.
type DrillPart struct {
	Component string     `json:"component"`
	State     DrillState `json:"state"`
	Server    string     `json:"server_version"` // that wrote the copy
	Programs  string     `json:"programs"`       // that brought it back, with their version
	Seconds   float64    `json:"seconds"`
	Bytes     int64      `json:"bytes"`
	Tables    int        `json:"tables"`          // in the copy
	Rows      int64      `json:"rows"`            // in all of them
	Same      int        `json:"tables_the_same"` // as in the dump, by number and content of their rows
	Pages     int64      `json:"pages,omitempty"` // whose checksums are right
	// NotComparable are the tables that may have been written between the two copies of the run, and differ.
	NotComparable []string       `json:"tables_not_comparable,omitempty"`
	Steps         []DrillStep    `json:"steps"`
	Logins        []DrillLogin   `json:"logins,omitempty"`
	Findings      []DrillFinding `json:"findings"`
	Notes         []string       `json:"notes,omitempty"`
}

// DrillStep is how long a piece of a drill took.
type DrillStep struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// DrillLogin is an account that was looked at. Proof is "password" for one that logged in with its real password, "account" for
// one that is there and has something to log in with, and "refused" for one whose password is refused.
type DrillLogin struct {
	User  string `json:"user"`
	Host  string `json:"host"`
	Proof string `json:"proof"`
}

// DrillFinding is something that is not as the point says.
type DrillFinding struct {
	What string `json:"what"` // table, page, position, definition, account, server
	Name string `json:"name"`
	Text string `json:"text"`
}

// Proves reports whether the drill restored the component and found it to be what it should be.
func (d Drill) Proves(source, component string) bool {
	for _, p := range d.Parts {
		if d.Source == source && p.Component == component && p.State == Proven {
			return true
		}
	}
	return false
}

// LastProven returns when a component was last proven by one of some drills; nil is never.
func LastProven(all []Drill, source, component string) *time.Time {
	var last *time.Time
	for _, d := range all {
		if d.Proves(source, component) && (last == nil || d.Started.After(*last)) {
			at := d.Started
			last = &at
		}
	}
	return last
}
