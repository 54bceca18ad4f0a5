package backup

import (
	"context"
	"fmt"

	"holdfast/internal/point"
	"holdfast/internal/vault"
)

// Leftover is what is in a vault of a source, that no point names, and that no run will build on, with the reason why it may go.
type Leftover struct {
	vault.Orphan
	Reason string
}

// Leftovers returns those of the orphans of a source that may go. Where runs resume what checkpoints kept, a checkpoint goes once
// every copy in it has a newer one; elsewhere, as in a tier that runs do not write to, nothing of a killed run is of use. The
// caller holds the source's lock, else a run that is on its way may own what is told.
func Leftovers(ctx context.Context, source string, points []point.Point, orphans []vault.Orphan, resumed bool) (gone []Leftover, err error) {
	all, unreadable := readCheckpoints(ctx, source, orphans)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, o := range unreadable {
		gone = append(gone, Leftover{o, "no point names it, and what it holds cannot be read"})
	}
	settled := newSettled(source, points, all)
	for _, c := range all {
		switch {
		case settled.all(c):
			gone = append(gone, Leftover{c.orphan, fmt.Sprintf("no point names it, and all of its %d copies have newer ones or are not wanted any more", len(c.Components))})
		case !resumed:
			gone = append(gone, Leftover{c.orphan, "no point names it: its run was killed, or its removal was cut off"})
		}
	}
	return gone, nil
}
