package cephcmd

import (
	"context"
	_ "embed"
	"io"

	"holdfast/internal/host"
)

//go:embed own.py
var ownPython string

// exitStale is how own.py ends when the snapshot is not of the clone that was meant.
const exitStale = 116

// IsStale reports whether a command failed because what it was asked for is not what it was meant to be any more.
func IsStale(err error) bool { return exitCode(err) == exitStale }

// ExportOwn streams what a snapshot of a clone holds beside its parent, as ExportDiff would without what is the parent's.
// It fails as IsStale tells unless the snapshot is a clone of just that, down to the bytes it shares with it, and has an object
// map that is known to be right.
func (c Cluster) ExportOwn(ctx context.Context, e Export, p Parent, read func(io.Reader) error) error {
	ops := e.Ops
	if ops == 0 {
		ops = readsAtOnce
	}
	cmd, err := c.reader(ownPython, e.Spec, map[string]any{
		"parent": map[string]any{"id": p.ID, "snapshot": p.Snapshot, "overlap": p.Overlap}, "at_once": ops,
	})
	if err != nil {
		return err
	}
	cmd.Bulk = true
	return c.explain(host.Stream(ctx, c.On, cmd, read), "rbd", []string{"(own objects)", e.Spec.String()})
}
