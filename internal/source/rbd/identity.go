package rbd

import (
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
	// Older says that the image had older snapshots than this one, which it may be rolled back to.
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

// older reports whether the image has snapshots that are older than one, but for that of a name.
func (i *image) older(than int64, but string) bool {
	return slices.ContainsFunc(i.Snapshots, func(s cephcmd.Snapshot) bool { return s.ID < than && s.Name != but })
}

// mapped reports whether the object map can tell what changed since the earlier copy. A rollback gives the image the map that the
// snapshot it goes back to was made with, whose clean objects count as not written since the snapshot of the copy, though they were.
func (i *image) mapped() cephcmd.Precision {
	base, _ := i.Image.Snapshot(i.from)
	before, err := IdentityOf(i.copy.Component)
	return cephcmd.Precision(err == nil && !before.Older && !i.older(base.ID, base.Name))
}

// identity is what a capture is a copy of.
func (s *Source) identity(i *image) Identity {
	id := Identity{
		FSID: i.pool.fsid, Pool: i.pool.Name, PoolID: i.pool.id, Image: i.Name, ImageID: i.ID,
		Snapshot: i.snapshot.Name, SnapshotID: i.snapshot.ID, Size: i.snapshot.Size, Piece: i.pool.Piece,
		Order: i.info.Order, Features: i.info.Features, DataPool: i.info.DataPool, Parent: i.info.Parent,
	}
	id.Older = i.older(i.snapshot.ID, i.from)
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
