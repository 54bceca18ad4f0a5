package lab

import (
	"context"
	"hash/fnv"

	"holdfast/internal/lab/schema"
)

// Image is a block image to be made or changed, as cephlab.py takes it.
type Image struct {
	Pool    string   `json:"pool"`
	Name    string   `json:"name"`
	Size    int64    `json:"size,omitempty"`   // in bytes, of a new one
	Parent  []string `json:"parent,omitempty"` // pool, image and snapshot that a new one is a clone of
	Actions [][]any  `json:"actions"`
}

// Do appends what is done to the image; cephlab.py names the verbs and what each takes.
func (i *Image) Do(verb string, args ...any) *Image {
	i.Actions = append(i.Actions, append([]any{verb}, args...))
	return i
}

// MakeImages makes block images and does to them what they say.
func (l *Lab) MakeImages(ctx context.Context, images ...*Image) error {
	return l.cephadm(ctx, map[string]any{"images": images})
}

// ChangeImages does to block images that exist what they say.
func (l *Lab) ChangeImages(ctx context.Context, images ...*Image) error {
	return l.cephadm(ctx, map[string]any{"change": images})
}

// Rbd runs a command of rbd as the cluster's administrator and returns what it prints.
func (l *Lab) Rbd(ctx context.Context, args ...string) (string, error) {
	return l.Run(ctx, cephHost, append([]string{"rbd", "-c", l.Ceph.Conf}, args...)...)
}

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// fillCeph makes what Glance, Cinder and Nova would have made for the rows in their databases, and of each kind one
// that no row knows. Every image holds a little data and many holes.
func (l *Lab) fillCeph(ctx context.Context) error {
	cloud := schema.Generate(l.rows(0))
	glance, sizes := glanceImages(cloud)
	return l.cephadm(ctx,
		map[string]any{"images": glance},
		map[string]any{"images": append(cinderVolumes(cloud, sizes), novaDisks(cloud, sizes)...)},
		map[string]any{"health": cephPatience})
}

// written spreads pieces of data over an image.
func (i *Image) written(pieces int, length int64) {
	h := fnv.New64a()
	h.Write([]byte(i.Pool + "/" + i.Name))
	seed := h.Sum64() >> 16
	for n := range int64(pieces) {
		step := (i.Size - length) / int64(pieces)
		i.Do("write", n*step/mib*mib, min(length, i.Size), seed+uint64(n))
	}
}

// glanceImages are the living images, each with its protected snapshot, and their sizes in the pool: real ones are as
// large as their rows say, and mostly holes here.
func glanceImages(cloud *schema.Cloud) (images []*Image, sizes map[string]int64) {
	sizes = map[string]int64{}
	add := func(id string, size int64) {
		image := &Image{Pool: "images", Name: id, Size: size}
		image.written(4, 256<<10)
		image.Do("snap", "snap")
		image.Do("protect", "snap")
		images, sizes[id] = append(images, image), size
	}
	for _, i := range cloud.Images {
		if i.Deleted.IsZero() {
			add(i.ID, i.Size)
		}
	}
	add(orphan("image"), 64*mib)
	return images, sizes
}

// cinderVolumes are the living volumes: those made from an image that still lives are its clones.
func cinderVolumes(cloud *schema.Cloud, sizes map[string]int64) (volumes []*Image) {
	for _, v := range cloud.Volumes {
		if !v.Deleted.IsZero() {
			continue
		}
		id := v.ID
		if v.NameID != "" {
			id = v.NameID
		}
		image := &Image{Pool: "volumes", Name: "volume-" + id, Size: int64(v.Size) * gib}
		if v.Image != nil && sizes[v.Image.ID] > 0 && sizes[v.Image.ID] <= image.Size {
			image.Parent = []string{"images", v.Image.ID, "snap"}
		}
		image.written(1+len(volumes)%4, 128<<10)
		for _, s := range v.Snapshots {
			image.Do("snap", "snapshot-"+s.ID)
			image.Do("protect", "snapshot-"+s.ID)
			image.Do("write", int64(8*mib), int64(4096), 1)
		}
		volumes = append(volumes, image)
	}
	lost := &Image{Pool: "volumes", Name: "volume-" + orphan("volume"), Size: gib}
	lost.written(2, 128<<10)
	trashed := &Image{Pool: "volumes", Name: "volume-" + orphan("trashed volume"), Size: gib}
	trashed.Do("trash")
	return append(volumes, lost, trashed)
}

// novaDisks are the disks of servers that boot from an image.
func novaDisks(cloud *schema.Cloud, sizes map[string]int64) (disks []*Image) {
	add := func(id string, size int64, parent []string) {
		disk := &Image{Pool: "vms", Name: id + "_disk", Size: size, Parent: parent}
		disk.written(2, 64<<10)
		disks = append(disks, disk)
	}
	for _, s := range cloud.Servers {
		if !s.Deleted.IsZero() || s.Failed || s.Image == nil {
			continue
		}
		size, image := max(int64(s.Flavor.RootGB), 1)*gib, sizes[s.Image.ID]
		if image > 0 && image <= size {
			add(s.ID, size, []string{"images", s.Image.ID, "snap"})
		} else {
			add(s.ID, size, nil)
		}
	}
	add(orphan("server"), gib, nil)
	return disks
}

// orphan is the identity of something that is in a pool and in no database, the same in every lab.
func orphan(what string) string {
	h := fnv.New128a()
	h.Write([]byte("orphan " + what))
	return uuidOf(h.Sum(nil))
}
