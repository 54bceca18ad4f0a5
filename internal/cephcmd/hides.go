package cephcmd

import (
	"context"
	_ "embed"
	"encoding/json"
	"io"

	"holdfast/internal/host"
)

//go:embed hides.py
var hidesPython string

// Hides reports whether the object map of an image, or of a snapshot of it, hides that it was rolled back, since the snapshot of that
// name, to one of its older snapshots, so that Changed with Objects would not tell all. An error says that nobody knows: IsStale that
// there is no object map to go by.
func (c Cluster) Hides(ctx context.Context, s Spec, since string, older []string) (hides bool, err error) {
	cmd, err := c.reader(hidesPython, s, map[string]any{"since": since, "older": older})
	if err != nil {
		return false, err
	}
	err = host.Stream(ctx, c.On, cmd, func(r io.Reader) error { return json.NewDecoder(r).Decode(&hides) })
	return hides, c.explain(err, "rbd", []string{"(rollbacks)", s.String()})
}
