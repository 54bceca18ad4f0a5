// Package coverage says how well a cloud is protected: where the newest good copy of each component lies in each tier, how old it
// is, and which promises that breaks. It judges what others read, and reads nothing itself.
package coverage

import (
	"maps"
	"slices"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/verify"
)

// Overview is the whole of it: the result of status, and what alerts and metrics speak of.
type Overview struct {
	Cloud      string      `json:"cloud"`
	At         time.Time   `json:"at"` // when it was taken; zero when no look has seen anything yet
	Points     int         `json:"points"`
	Bytes      int64       `json:"vault_bytes"` // of the first tier
	Free       int64       `json:"vault_free"`
	Kit        string      `json:"kit"` // "" when confirmed, else what is wrong
	Components []Component `json:"components"`
	Tiers      []Tier      `json:"tiers"`
	// Broken are the promises that are not kept.
	Broken []Broken `json:"broken"`
	// Instant are the images of instant restores that cannot be used without Holdfast.
	Instant []Dependent `json:"instant_restores"`
	// Others counts the points of other clouds in the vault, by the cloud's name.
	Others map[string]int `json:"other_clouds"`
}

// Tier is what status knows of a tier.
type Tier struct {
	Tier   string `json:"tier"`
	URL    string `json:"url"`
	Error  string `json:"error,omitempty"` // why it cannot be opened
	Points int    `json:"points"`
	// Free and Capacity are the bytes of its place; both 0 where that has no bounds.
	Free     int64  `json:"free"`
	Capacity int64  `json:"capacity"`
	Medium   string `json:"medium"`  // the storage system that it lies on
	Own      bool   `json:"own"`     // that is the cloud's own, so that this is no other copy
	Offsite  bool   `json:"offsite"` // the loss of the site does not reach it
	// Locks is whether its configuration says that nothing in it can be removed, and LockedUntil until when that is so, as far as is
	// known.
	Locks       bool       `json:"locks"`
	LockedUntil *time.Time `json:"locked_until"`
	Verified    *time.Time `json:"verified"` // when all its points were last verified together

	Held  []point.Point   `json:"-"` // its points, oldest first
	Found verify.Findings `json:"-"` // what verifying them found
	// Drills are those that its vault keeps the results of, of points that may be gone.
	Drills []point.Drill `json:"-"`
}

// Copy is the newest good copy of a component in a tier.
type Copy struct {
	Tier       string     `json:"tier"`
	Point      string     `json:"point"` // "" when there is none
	At         *time.Time `json:"at"`
	AgeSeconds float64    `json:"age_seconds"`
	Late       bool       `json:"late"` // older than was promised
	Verified   *time.Time `json:"verified"`
	Depth      string     `json:"verified_depth,omitempty"`
	Damaged    bool       `json:"damaged"`
}

// Cover is where a component's copies lie.
type Cover struct {
	RPOSeconds float64 `json:"rpo_seconds"`
	Gone       bool    `json:"gone"` // the newest run that looked did not find it at its source
	Tiers      []Copy  `json:"tiers"`
	// Copies counts the cloud's own and one for each other storage system that holds a good one.
	Copies      int        `json:"copies"`
	Offsite     bool       `json:"offsite"`
	LockedUntil *time.Time `json:"locked_until"`
	Drilled     *time.Time `json:"drilled"` // when a drill last restored it
}

// Broken is a promise that is not kept.
type Broken struct {
	Promise string `json:"promise"` // rpo, damage, tier, verify, kit, copies, offsite, locked or drill
	Tier    string `json:"tier,omitempty"`
	Source  string `json:"source,omitempty"`
	Text    string `json:"text"`
}

// Dependent is an image that cannot be used without Holdfast, which serves it, or should.
type Dependent struct {
	ID       string     `json:"id"`
	Target   string     `json:"target"`
	Point    string     `json:"point"`
	Stage    string     `json:"stage"`
	Since    *time.Time `json:"usable_since"`
	Served   bool       `json:"served"`
	ToResume string     `json:"to_resume"`
}

// Judge says of every component that the tiers hold, and of the sources that are configured and in no point, where its copies lie,
// and which promises are broken.
func (o *Overview) Judge(sources []string, p config.Promises, now time.Time) {
	o.At = now
	points := allPoints(o.Tiers)
	o.Points = len(points)
	o.Components = append(components(points, o.findings(), now), unprotected(points, sources)...)
	if p.Copies == 0 {
		p.Copies = min(3, 1+len(o.Tiers))
	}
	coverAll(o.Components, o.Tiers, p, now)
	drills := coverDrills(o.Components, o.Tiers)
	o.Broken = append(judgeCover(o.Components, o.Tiers, p, now), judgeDrills(o.Components, drills, p, now)...)
}

// findings gathers what verifying found: the first tier that holds a point speaks of it.
func (o *Overview) findings() verify.Findings {
	found := verify.Findings{}
	for _, t := range slices.Backward(o.Tiers) {
		for _, p := range t.Held {
			if f, ok := t.Found[p.ID]; ok || t.Tier == o.Tiers[0].Tier {
				found[p.ID] = f
			}
		}
	}
	maps.DeleteFunc(found, func(_ string, f verify.Finding) bool { return f.At.IsZero() })
	return found
}
