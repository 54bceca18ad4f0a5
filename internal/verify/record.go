// Package verify remembers what was proven when. The proofs themselves are made where the data is, by the vault.
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

// Record is a small file in the state directory with the last successful verification of each point.
type Record struct{ Dir string }

// Proof is one verification that found no damage.
type Proof struct {
	At      time.Time `json:"at"`
	Percent float64   `json:"percent"` // of the data that was read; everything was looked for
}

func (r Record) file() string { return filepath.Join(r.Dir, "verified.json") }

func (r Record) read() (map[string]Proof, error) {
	proofs := map[string]Proof{}
	data, err := os.ReadFile(r.file())
	if errors.Is(err, fs.ErrNotExist) {
		return proofs, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &proofs)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was verified: %w", err)
	}
	return proofs, nil
}

// Add notes that point was verified.
func (r Record) Add(point string, p Proof) error {
	proofs, err := r.read()
	if err != nil {
		return err
	}
	proofs[point] = p
	data, err := json.Marshal(proofs)
	if err != nil {
		return fmt.Errorf("note what was verified: %w", err)
	}
	return durable.WriteFile(r.file(), data, 0o600)
}

// Last returns when point was verified last, nil when never or unknown.
func (r Record) Last(point string) *time.Time {
	proofs, err := r.read()
	if p, ok := proofs[point]; err == nil && ok {
		return &p.At
	}
	return nil
}
