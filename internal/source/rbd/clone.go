package rbd

import (
	"fmt"

	"holdfast/internal/cephcmd"
	"holdfast/internal/source"
)

// above is the vault's copy of the snapshot that an image is a clone of. What the image has of it need not be read again.
type above struct {
	component string
	copy      Copy
	parent    cephcmd.Parent
}

// above finds the copy of an image's parent, if it is good and of the very snapshot that the image is a clone of: as it is of
// Glance's images, whose one snapshot is what volumes are cloned from and what is captured. Only the first copy of a clone
// begins with it. One that is made because of a doubt is to owe nothing to an earlier copy.
func (s *Source) above(i *image, copies map[string]Copy) *above {
	p := i.Parent
	if i.copy != nil || p == nil || p.Namespace != "" {
		return nil
	}
	name := i.pool.cluster.Prefix + p.Pool + "/" + p.Image
	c, ok := copies[name]
	if !ok || c.Doubt != "" {
		return nil
	}
	id, err := IdentityOf(c.Component)
	if err != nil || id.FSID != i.pool.fsid || id.Snapshot != p.Snapshot {
		return nil
	}
	for n := range s.planned {
		above := &s.planned[n]
		if above.cluster == i.pool.cluster && above.Name == p.Pool && above.id == id.PoolID && above.holds(id) {
			return aboveOf(name, c, id)
		}
	}
	return nil
}

func aboveOf(name string, c Copy, id Identity) *above {
	return &above{name, c, cephcmd.Parent{Pool: id.Pool, Image: id.Image, ID: id.ImageID, Snapshot: id.Snapshot, Overlap: id.Size}}
}

// holds reports whether the pool still has the snapshot, by its number, of the image that a copy is of.
func (p *pool) holds(id Identity) bool {
	for _, img := range p.images {
		if img.ID == id.ImageID && img.Name == id.Image {
			snap, ok := img.Snapshot(id.Snapshot)
			return ok && snap.ID == id.SnapshotID && snap.Size == id.Size
		}
	}
	return false
}

// shared is what the capture takes from the vault instead of reading it: what lies below it, as long as nothing speaks
// against it. The image's own objects tell that only if its object map is right, and cover each a range of bytes only if it
// is not striped.
func (c *capture) shared() *above {
	if c.above == nil || c.from != "" || !c.info.Has("fast-diff") || len(c.info.Flags) > 0 || c.info.Stripes > 1 || c.info.Has("migrating") {
		return nil
	}
	a, p := *c.above, c.info.Parent
	a.parent.Overlap = min(a.parent.Overlap, c.info.Size)
	if p == nil || p.ID != a.parent.ID || p.Snapshot != a.parent.Snapshot || p.Overlap != a.parent.Overlap {
		return nil
	}
	return &a
}

// unshared is the failure of a capture that took the vault's copy of the parent for granted.
type unshared struct{ error }

func (u unshared) Unwrap() error { return u.error }

// why says what a first copy is.
func (a *above) why() string {
	return fmt.Sprintf("no earlier copy; only what differs from %s@%s was read, which %s holds", a.component, a.parent.Snapshot, a.copy.From())
}

// base is where the image begins.
func (a *above) base() source.Base { return source.Base{Point: a.copy.Point, Component: a.component} }
