package point

import "time"

// Hold keeps a point from being removed until somebody releases it.
type Hold struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"` // who asked for it
	At     time.Time `json:"at"`
}
