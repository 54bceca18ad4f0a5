// Package verify remembers what was found out when. The proofs themselves are made where the data is, by the vault.
package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holdfast/internal/durable"
)

// Record is a small file in the state directory with the last verification of each point, one for each tier.
type Record struct {
	Dir  string
	Tier string // of another tier than the first
}

// Depth says how much of a point's data a verification read.
type Depth string

// Quick looked for everything and read directories and indexes alone, Sample also a share of the data, Full all of it.
const (
	Quick  Depth = "quick"
	Sample Depth = "sample"
	Full   Depth = "full"
)

// Finding is how the last verification of a point ended.
type Finding struct {
	At      time.Time  `json:"at"`
	Depth   Depth      `json:"depth,omitempty"`
	Percent float64    `json:"percent"`                // of the data that was read; everything was looked for
	Damaged int        `json:"damaged,omitempty"`      // how much was found damaged
	Full    *time.Time `json:"read_in_full,omitempty"` // when all of it was last read and found whole
}

func (r Record) file() string {
	if r.Tier != "" {
		return filepath.Join(r.Dir, "verified-"+r.Tier+".json")
	}
	return filepath.Join(r.Dir, "verified.json")
}

// Findings returns the last verification of each point.
func (r Record) Findings() (Findings, error) {
	all := Findings{}
	data, err := os.ReadFile(r.file())
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was verified: %w", err)
	}
	return all, nil
}

// Add notes how the verification of a point ended, in place of an earlier one. A record that cannot be read is begun
// anew.
func (r Record) Add(point string, f Finding) error { return r.AddAll(Findings{point: f}) }

// AddAll is Add for many points. When a point was read in full stays known until it is found damaged.
func (r Record) AddAll(found Findings) error {
	all, err := r.Findings()
	if err != nil {
		all = Findings{}
	}
	for point, f := range found {
		switch {
		case f.Damaged > 0:
			f.Full = nil
		case f.Depth == Full:
			f.Full = &f.At
		default:
			f.Full = all[point].Full
		}
		all[point] = f
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("note what was verified: %w", err)
	}
	return durable.WriteFile(r.file(), data, 0o600)
}

// Findings are the last verifications by point.
type Findings map[string]Finding

// Good returns when a point was verified last, nil when it never was or was found damaged.
func (all Findings) Good(point string) *time.Time {
	f, ok := all[point]
	if !ok || f.Damaged > 0 {
		return nil
	}
	return &f.At
}
