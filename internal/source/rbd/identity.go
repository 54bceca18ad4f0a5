package rbd

import (
	"encoding/json"

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
	// Older says that the image could be rolled back to an older snapshot than this one unseen: see Unseen.
	Older bool `json:"older,omitempty"`
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

// Unseen reports whether an image may have been rolled back to one of its snapshots from before that with an id, but for the one of a
// name, without its object map showing that. A rollback gives the image the map of the snapshot that it goes back to, whose clean
// objects count as not written since, though they were. Of the first snapshot no object is clean: when an older one is removed, Ceph
// makes dirty in the next what it had.
func Unseen(all []cephcmd.Snapshot, before int64, but string) bool {
	older := 0
	for _, s := range all {
		if s.ID < before && s.Name != but {
			older++
		}
	}
	return older > 1
}

// mapped reports whether the object map can tell what changed since the earlier copy.
func (i *image) mapped() cephcmd.Precision {
	base, _ := i.Image.Snapshot(i.from)
	before, err := IdentityOf(i.copy.Component)
	return cephcmd.Precision(err == nil && !before.Older && !Unseen(i.Snapshots, base.ID, base.Name))
}

// identity is what a capture is a copy of.
func (s *Source) identity(i *image) Identity {
	id := Identity{
		FSID: i.pool.fsid, Pool: i.pool.Name, PoolID: i.pool.id, Image: i.Name, ImageID: i.ID,
		Snapshot: i.snapshot.Name, SnapshotID: i.snapshot.ID, Size: i.snapshot.Size, Piece: i.pool.Piece,
		Order: i.info.Order, Features: i.info.Features, DataPool: i.info.DataPool, Parent: i.info.Parent,
	}
	id.Older = Unseen(i.Snapshots, i.snapshot.ID, i.from)
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
