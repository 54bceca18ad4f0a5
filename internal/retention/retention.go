// Package retention decides which points stay in a tier and which leave it, each with its reasons. It reads nothing
// and changes nothing: what is known of the points, the rules, the other tiers and the time comes in, a plan comes out.
//
// Words: a copy is a good component of a point. A source is whole in a point when all that is required of it is good and
// nothing of it was left out by request. A run is good for a source in whose point it is whole. A point is due when no
// rule of the tier wants it. The law stands above the rules and above the wish for space: of each component the newest
// copy stays, nothing leaves before the next tier has a verified copy, and what is held or unknown stays.
package retention

import (
	"fmt"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
)

// Input is all that a plan is made of.
type Input struct {
	Tier   string
	Points []Held
	Keep   config.Keep
	// Last are the rules of the last tier, for whose term the newest copy of a component stays that is gone at its source.
	Last  config.Keep
	Holds map[string]point.Hold // by point
	Next  *Next                 // nil: no tier comes after this one
	Now   time.Time             // by the clock
	Store time.Time             // by the clock of the vault's store; zero: not known
	View  *View                 // of the prune before; nil: there was none
	// ViewLost: there was a prune before, but what it saw cannot be read.
	ViewLost bool
	Space    *Space // nil: nobody asks for space
	Limits
}

// Held is a point in the tier.
type Held struct {
	point.Point
	Damaged bool             // the last verification found it so: it counts as no good one
	Bytes   map[string]int64 // what it holds of each source, where that is known
}

// Next is what the tier after this one holds of this one's points.
type Next struct {
	Tier     string
	Verified map[string]bool // has a copy that was verified there
	Left     map[string]bool // should have none: its own rules let it go, or would
}

// Space is the room that the tier has, in bytes.
type Space struct {
	Free, Capacity int64
	Owed           int64   // of points that were removed before and whose space has not come back yet
	Reserve        float64 // share of Capacity that should be free
}

// Rule names why a point stays or leaves.
type Rule string

// The rules of a tier, the law, and why a point may leave.
const (
	Age     Rule = "age"
	Within  Rule = "within"
	Last    Rule = "last"
	Daily   Rule = "daily"
	Weekly  Rule = "weekly"
	Monthly Rule = "monthly"
	Yearly  Rule = "yearly"

	Newest    Rule = "newest"     // copy of a component, or point in which a source is whole
	NewestRun Rule = "newest_run" // whatever came of it
	NextTier  Rule = "next_tier"  // has no verified copy yet
	OnHold    Rule = "hold"
	Unknown   Rule = "unknown" // what it holds cannot be told
	Future    Rule = "future"  // its time is ahead of the clock

	Due         Rule = "due"          // no rule wants it
	NothingGood Rule = "nothing_good" // nothing in it can be restored, and it is old enough
	Reserve     Rule = "reserve"      // a rule wants it, but the tier runs full
)

// Reason is one reason of a decision. Source is "" where it is about the whole point.
type Reason struct {
	Rule   Rule   `json:"rule"`
	Source string `json:"source,omitempty"`
	Text   string `json:"text"`
}

// Decision is what is to become of one point.
type Decision struct {
	Point   string      `json:"point"`
	Started time.Time   `json:"started"`
	State   point.State `json:"state"`
	Keep    bool        `json:"keep"`
	Reasons []Reason    `json:"reasons"` // never empty
	Bytes   int64       `json:"bytes_new"`
}

// Plan is what is to become of the points of a tier.
type Plan struct {
	Tier      string     `json:"tier"`
	At        time.Time  `json:"at"`
	Decisions []Decision `json:"points"` // the oldest first
	// Doubts are why somebody should look at the plan before anything is removed by it.
	Doubts []Doubt `json:"doubts"`
	// View is to be remembered, for the next plan, once this one was carried out, or had no doubts.
	View View `json:"-"`
}

// Removed counts the points that leave.
func (p Plan) Removed() int {
	n := 0
	for _, d := range p.Decisions {
		if !d.Keep {
			n++
		}
	}
	return n
}

// NeedsConfirmation reports whether points would leave and there are doubts about it.
func (p Plan) NeedsConfirmation() bool { return len(p.Doubts) > 0 && p.Removed() > 0 }

// Decide makes the plan. The order of the points does not matter. It fails only on a time zone that is none.
func Decide(in Input) (Plan, error) {
	loc, err := in.Keep.Location()
	if err != nil {
		return Plan{}, fmt.Errorf("decide what stays in tier %s: %w", in.Tier, err)
	}
	in.Limits = in.Limits.orDefault()
	t := newTable(in)
	t.wants(loc)
	t.law()
	t.settle()
	t.relieve()
	plan := Plan{Tier: in.Tier, At: in.Now.UTC(), Decisions: t.decisions(), View: t.view()}
	plan.Doubts = t.doubts()
	return plan, nil
}
