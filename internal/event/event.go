// Package event is what the engine tells while it works. Progress bars, plain lines, JSON lines, logs and metrics are
// listeners; the engine itself never prints.
package event

import "time"

// Kind names what happened.
type Kind string

// The kinds of events, in the order in which a component sees them.
const (
	RunStarted  Kind = "run_started"
	Planned     Kind = "planned"      // a component will be captured or restored; Total is set when known
	Started     Kind = "started"      // its stream began
	Progress    Kind = "progress"     // Bytes so far
	Note        Kind = "note"         // something worth telling, Text
	Finished    Kind = "finished"     // State, Bytes, New, Seconds, Reason
	RunFinished Kind = "run_finished" // State of the whole, Point
)

// Event is one fact. Only the fields that its Kind names are set.
type Event struct {
	Kind      Kind      `json:"event"`
	Time      time.Time `json:"time"`
	Point     string    `json:"point,omitempty"`
	Source    string    `json:"source,omitempty"`
	Component string    `json:"component,omitempty"`
	Host      string    `json:"host,omitempty"`
	State     string    `json:"state,omitempty"`
	Bytes     int64     `json:"bytes,omitempty"` // read from the source
	New       int64     `json:"new,omitempty"`   // added to the vault
	Total     int64     `json:"total,omitempty"` // expected, 0 when unknown
	Seconds   float64   `json:"seconds,omitempty"`
	Text      string    `json:"text,omitempty"`
}

// Listener receives events, possibly from several goroutines at once, and returns quickly.
type Listener func(Event)
