package rbd

import (
	"context"
	"fmt"

	"holdfast/internal/cephcmd"
	"holdfast/internal/stream"
	"holdfast/internal/stream/rbddiff"
)

// distrust compares what differs between the earlier copy and an image that was read in full with what Ceph says has
// changed between their snapshots. Where it says too little, the copies in between were built on that.
func (c *capture) distrust(ctx context.Context) (notes []string, err error) {
	differs, err := c.dst.Changed()
	if err != nil {
		return nil, err
	}
	claimed, err := c.pool.cluster.Changed(ctx, c.spec().At(c.snapshot.Name), c.from, cephcmd.Objects)
	if err != nil {
		return nil, err
	}
	silent := untold(differs, claimed)
	if len(silent) == 0 {
		return nil, nil
	}
	var bytes int64
	for _, e := range silent {
		bytes += e.Length
	}
	text := fmt.Sprintf("%d KiB differ from the copy in point %s, the first at byte %d, where Ceph says that nothing changed since: this copy is right, and those "+
		"since the image was last read in full may not be; have its object map rebuilt (rbd object-map rebuild %s) and look for what went wrong",
		bytes>>10, c.copy.Point, silent[0].Offset, c.spec())
	c.sink.Note(text)
	return []string{text}, nil
}

// untold returns the pieces that no claim touches. Both ascend.
func untold(pieces []stream.Extent, claimed []rbddiff.Extent) (out []stream.Extent) {
	for _, p := range pieces {
		for len(claimed) > 0 && claimed[0].End() <= p.Offset {
			claimed = claimed[1:]
		}
		if len(claimed) == 0 || claimed[0].Offset >= p.End() {
			out = append(out, p)
		}
	}
	return out
}
