package point

import "time"

// Hold keeps a point from being removed until somebody releases it.
type Hold struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"` // who asked for it
	At     time.Time `json:"at"`
	// Tier is the only one whose copy of the point it holds, and "" where other tiers' copies are held with it.
	Tier string `json:"tier,omitempty"`
}

// Spreads reports whether a hold that one tier has holds the point in another one too.
func (h Hold) Spreads(to string) bool { return h.Tier == "" || h.Tier == to }
