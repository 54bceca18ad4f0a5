package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"holdfast/internal/durable"
)

// Lineage remembers which cluster was restored from a copy of which, in a small file. A restored cluster has a new
// UUID, so that a node with old data can never join it unnoticed; yet it is the same cloud's, and later restores of
// older points into it are no mistake.
type Lineage struct{ File string }

func (l Lineage) read() (map[string]string, error) {
	parents := map[string]string{}
	data, err := os.ReadFile(l.File)
	if errors.Is(err, fs.ErrNotExist) {
		return parents, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &parents)
	}
	if err != nil {
		return nil, fmt.Errorf("read lineage: %w", err)
	}
	return parents, nil
}

// Same reports whether two cluster UUIDs are of one lineage: equal, or restored from one another or from a common
// ancestor.
func (l Lineage) Same(a, b string) bool {
	parents, err := l.read()
	if err != nil {
		return a == b
	}
	return ancestor(parents, a) == ancestor(parents, b)
}

func ancestor(parents map[string]string, uuid string) string {
	for range len(parents) {
		up, ok := parents[uuid]
		if !ok {
			break
		}
		uuid = up
	}
	return uuid
}

// Add records that cluster child was restored from a copy of cluster parent.
func (l Lineage) Add(child, parent string) error {
	if child == "" || parent == "" || child == parent {
		return nil
	}
	parents, err := l.read()
	if err != nil {
		return err
	}
	if ancestor(parents, child) == ancestor(parents, parent) {
		return nil // and never a circle
	}
	parents[child] = parent
	data, err := json.MarshalIndent(parents, "", "  ")
	if err != nil {
		return fmt.Errorf("write lineage: %w", err)
	}
	return durable.WriteFile(l.File, data, 0o600)
}
