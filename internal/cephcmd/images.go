package cephcmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Map is what identifies a cluster and its pools.
type Map struct {
	FSID  string `json:"fsid"`
	Flags string `json:"flags"` // with commas between
	Pools []Pool `json:"pools"`
}

// Pool is a pool as the OSD map has it.
type Pool struct {
	ID    int64  `json:"pool"`
	Name  string `json:"pool_name"`
	Flags string `json:"flags_names"` // with commas between
}

// Full says why whoever writes to a pool would wait until there is room, also for the few bytes of a snapshot; "" when that
// is not so.
func (m Map) Full(pool string) string {
	p, _ := m.Pool(pool)
	flags := strings.Split(p.Flags, ",")
	switch {
	case slices.Contains(flags, "full_quota"):
		return "pool " + pool + " has used up its quota"
	case slices.Contains(flags, "full"), slices.Contains(strings.Split(m.Flags, ","), "full"):
		return "pool " + pool + " is full"
	}
	return ""
}

// Pool finds a pool by name.
func (m Map) Pool(name string) (Pool, bool) {
	i := slices.IndexFunc(m.Pools, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		return Pool{}, false
	}
	return m.Pools[i], true
}

// Map reads the cluster's identity and its pools.
func (c Cluster) Map(ctx context.Context) (m Map, err error) {
	err = c.ask(ctx, &m, "osd dump")
	return m, err
}

// Spec names an image, or a snapshot of one.
type Spec struct {
	Pool, Image string
	Snapshot    string // "" for the image's head
}

// String is the name as rbd takes it.
func (s Spec) String() string {
	if s.Snapshot != "" {
		return s.Pool + "/" + s.Image + "@" + s.Snapshot
	}
	return s.Pool + "/" + s.Image
}

// At is a snapshot of the same image.
func (s Spec) At(snapshot string) Spec {
	s.Snapshot = snapshot
	return s
}

// Image is a block image with its snapshots, as a pool's listing has it.
type Image struct {
	Name      string
	ID        string
	Size      int64 // in bytes
	Parent    *Parent
	Snapshots []Snapshot
	// Err says why the image could not be opened; nothing but its name is known then.
	Err error
}

// Parent is what an image is a clone of.
type Parent struct {
	Pool      string `json:"pool"`
	Namespace string `json:"pool_namespace,omitempty"`
	Image     string `json:"image"`
	ID        string `json:"id,omitempty"`
	Snapshot  string `json:"snapshot"`
	Overlap   int64  `json:"overlap,omitempty"` // bytes that are the parent's where nothing was written
}

// Snapshot is a moment of an image. IDs are never used again in a pool.
type Snapshot struct {
	ID        int64
	Name      string
	Size      int64 // of the image at that moment
	Protected bool
}

// Snapshot finds a snapshot by name.
func (i Image) Snapshot(name string) (Snapshot, bool) {
	n := slices.IndexFunc(i.Snapshots, func(s Snapshot) bool { return s.Name == name })
	if n < 0 {
		return Snapshot{}, false
	}
	return i.Snapshots[n], true
}

// listed is a line of rbd ls -l: an image, or a snapshot after its image.
type listed struct {
	Image      string  `json:"image"`
	ID         string  `json:"id"`
	Snapshot   string  `json:"snapshot"`
	SnapshotID int64   `json:"snapshot_id"`
	Size       int64   `json:"size"`
	Parent     *Parent `json:"parent"`
	Protected  string  `json:"protected"`
}

// listingPatience is how long the listing of a pool may take, in which rbd opens ten images at a time: a hundred thousand of them.
var listingPatience = 10 * time.Minute

// Images lists a pool's images with their snapshots, by name. Images in the trash are not among them, nor are those that are being removed.
// The listing fails as a whole, or hangs, when one image cannot be opened: one that goes while it is listed, one whose removal was cut
// short, which Ceph names until somebody ends it, one whose migration has lost its source. Then each is asked alone.
func (c Cluster) Images(ctx context.Context, pool string) ([]Image, error) {
	images, err := c.imagesTogether(ctx, pool)
	if IsNotFound(err) { // most often an image that went meanwhile
		images, err = c.imagesTogether(ctx, pool)
	}
	switch {
	case err == nil:
		return images, nil
	case exitCode(err) < 0 && !errors.Is(err, errUnanswered), IsDenied(err), ctx.Err() != nil:
		return nil, err
	}
	return c.imagesAlone(ctx, pool)
}

// imagesTogether lists a pool by one command. Of a name that is there twice it tells the id of one and all else of the other; which is
// which only the image tells.
func (c Cluster) imagesTogether(ctx context.Context, pool string) ([]Image, error) {
	var lines []listed
	if err := c.within(ctx, listingPatience, &lines, "ls", "--long", "--pool", pool); err != nil {
		return nil, err
	}
	images, twice := gather(lines)
	for _, n := range twice {
		images[n] = c.imageAlone(ctx, Spec{Pool: pool, Image: images[n].Name})
	}
	return withoutGone(images), ctx.Err()
}

// withoutGone leaves those out that are not there any more.
func withoutGone(images []Image) []Image {
	return slices.DeleteFunc(images, func(i Image) bool { return IsNotFound(i.Err) })
}

// askedAtOnce is how many images are asked alone at the same time.
const askedAtOnce = 8

// imagesAlone lists a pool by its names, and asks each image.
func (c Cluster) imagesAlone(ctx context.Context, pool string) ([]Image, error) {
	var names []string
	if err := c.briefly(ctx, &names, "ls", "--pool", pool); err != nil {
		return nil, err
	}
	slices.Sort(names) // one whose removal was cut short can have a successor of its name
	names = slices.Compact(names)
	images := make([]Image, len(names))
	var g errgroup.Group
	g.SetLimit(askedAtOnce)
	for n, name := range names {
		g.Go(func() error {
			images[n] = c.imageAlone(ctx, Spec{Pool: pool, Image: name})
			return nil
		})
	}
	_ = g.Wait() // each image keeps its own error
	return withoutGone(images), ctx.Err()
}

func (c Cluster) imageAlone(ctx context.Context, s Spec) Image {
	info, err := c.Info(ctx, s)
	if err != nil {
		return Image{Name: s.Image, Err: err}
	}
	i := Image{Name: s.Image, ID: info.ID, Size: info.Size, Parent: info.Parent}
	i.Snapshots, i.Err = c.Snapshots(ctx, s.Pool, info.ID)
	return i
}

// gather joins the lines of a listing to images, and tells the indexes of those that it has twice.
func gather(lines []listed) (images []Image, twice []int) {
	at := map[string]int{}
	for _, l := range lines {
		i, known := at[l.Image]
		if !known {
			i = len(images)
			at[l.Image] = i
			images = append(images, Image{Name: l.Image, ID: l.ID, Size: l.Size, Parent: l.Parent})
		}
		switch {
		case l.Snapshot != "":
			images[i].Snapshots = append(images[i].Snapshots, Snapshot{l.SnapshotID, l.Snapshot, l.Size, l.Protected == "true"})
		case known && !slices.Contains(twice, i):
			twice = append(twice, i)
		}
	}
	return images, twice
}

// Info is what an image says of itself.
type Info struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Size     int64    `json:"size"`
	Order    int      `json:"order"` // its objects have 1 << Order bytes
	DataPool string   `json:"data_pool"`
	Features []string `json:"features"`
	Flags    []string `json:"flags"`
	Parent   *Parent  `json:"parent"`
	Created  string   `json:"create_timestamp"`
	Stripes  int64    `json:"stripe_count"`
	Stripe   int64    `json:"stripe_unit"`
}

// Info reads what an image says of itself.
func (c Cluster) Info(ctx context.Context, s Spec) (i Info, err error) {
	err = c.briefly(ctx, &i, "info", s.String())
	return i, err
}

// Has reports whether the image has a feature.
func (i Info) Has(feature string) bool { return slices.Contains(i.Features, feature) }

// Trashed is an image in a pool's trash, which has no name any more.
type Trashed struct {
	ID   string `json:"id"`
	Name string `json:"name"` // that it had
}

// Trash lists a pool's trash.
func (c Cluster) Trash(ctx context.Context, pool string) (images []Trashed, err error) {
	err = c.briefly(ctx, &images, "trash", "ls", "--all", "--pool", pool)
	return images, err
}

// Watchers lists the addresses of the clients that have an image open.
func (c Cluster) Watchers(ctx context.Context, s Spec) ([]string, error) {
	var status struct {
		Watchers []struct {
			Address string `json:"address"`
		} `json:"watchers"`
	}
	if err := c.briefly(ctx, &status, "status", s.String()); err != nil {
		return nil, err
	}
	var addresses []string
	for _, w := range status.Watchers {
		addresses = append(addresses, w.Address)
	}
	return addresses, nil
}
