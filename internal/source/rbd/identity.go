package rbd

import (
	"context"
	"encoding/json"
	"slices"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
)

// Identity says what a copy of an image is a copy of, and what a new image needs to be like it.
type Identity struct {
	FSID       string          `json:"fsid"`
	Pool       string          `json:"pool"`
	PoolID     int64           `json:"pool_id"`
	Image      string          `json:"image"`
	ImageID    string          `json:"image_id"`
	Snapshot   string          `json:"snapshot"`
	SnapshotID int64           `json:"snapshot_id"`
	Size       int64           `json:"size"`
	Piece      int64           `json:"piece"` // bytes of the pieces it is cut into, beyond its parent's
	Order      int             `json:"order"` // its objects have 1 << Order bytes
	Features   []string        `json:"features,omitempty"`
	DataPool   string          `json:"data_pool,omitempty"`
	Parent     *cephcmd.Parent `json:"parent,omitempty"`
	// Increments counts the runs since the image was last read in full.
	Increments int `json:"increments"`
	// Before are the numbers of the image's snapshots from before this one, but for the one that the copy before it was read from.
	Before []int64 `json:"before,omitempty"`
}

// Doubt is what the identity of a failed capture calls its reason not to build on the copy before it.
const Doubt = "doubt"

// IdentityOf reads the identity of a component.
func IdentityOf(c point.Component) (id Identity, err error) {
	text, err := json.Marshal(c.Identity)
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	return id, err
}

// facts is the identity as a component keeps it.
func (id Identity) facts() map[string]any {
	text, err := json.Marshal(id)
	if err != nil {
		panic(err) // of plain values
	}
	out := map[string]any{}
	_ = json.Unmarshal(text, &out)
	return out
}

// HowClosely is how an image, or a snapshot of it, is to be asked what changed since the snapshot of a copy. A rollback to one of the
// image's snapshots from before that gives it that one's object map, whose clean objects count as not written since, though they were.
// Of an image's first snapshot no object is clean: when an older one is removed, Ceph makes dirty in the next what it had.
func HowClosely(ctx context.Context, on cephcmd.Cluster, at cephcmd.Spec, copy Identity, snapshots []cephcmd.Snapshot) cephcmd.Precision {
	var names []string
	var numbers []int64
	for _, s := range snapshots {
		if s.ID < copy.SnapshotID {
			names, numbers = append(names, s.Name), append(numbers, s.ID)
		}
	}
	gone := func(n int64) bool { return !slices.Contains(numbers, n) }
	if len(copy.Before) > 1 && slices.ContainsFunc(copy.Before, gone) {
		return cephcmd.Extents // nobody can tell any more what it held
	}
	if len(names) < 2 {
		return cephcmd.Objects
	}
	hides, err := on.Hides(ctx, at, copy.Snapshot, names)
	return cephcmd.Precision(err == nil && !hides)
}

// precision is how the image, or a snapshot of it, is to be asked what changed since the earlier copy.
func (i *image) precision(ctx context.Context, at cephcmd.Spec) cephcmd.Precision {
	before, err := IdentityOf(i.copy.Component)
	if err != nil {
		return cephcmd.Extents
	}
	return HowClosely(ctx, i.pool.cluster.Cluster, at, before, i.Snapshots)
}

// identity is what a capture is a copy of.
func (s *Source) identity(i *image) Identity {
	id := Identity{
		FSID: i.pool.fsid, Pool: i.pool.Name, PoolID: i.pool.id, Image: i.Name, ImageID: i.ID,
		Snapshot: i.snapshot.Name, SnapshotID: i.snapshot.ID, Size: i.snapshot.Size, Piece: i.pool.Piece,
		Order: i.info.Order, Features: i.info.Features, DataPool: i.info.DataPool, Parent: i.info.Parent,
	}
	for _, other := range i.Snapshots {
		if other.ID < id.SnapshotID && other.Name != i.from {
			id.Before = append(id.Before, other.ID)
		}
	}
	if i.from == "" {
		return id
	}
	if before, err := IdentityOf(i.copy.Component); err == nil {
		id.Piece = before.Piece
		if !i.compare {
			id.Increments = before.Increments + 1
		}
	}
	return id
}
