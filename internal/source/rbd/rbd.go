// Package rbd captures block images of Ceph: Cinder's volumes, Glance's images, Nova's disks. Each has one snapshot of
// ours, which the next capture's difference begins with; Glance's images are read from the snapshot that Glance made.
package rbd

import (
	"context"
	"sync"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/rows"
)

// SourceName is the source's word on the command line and in points.
const SourceName = "rbd"

// Options say what to capture and what is known of it.
type Options struct {
	Clusters []Cluster
	// Vault is the vault's identity; its beginning is part of our snapshots' names, so that two vaults never take each
	// other's for their own.
	Vault string
	// Copies returns the newest good copy of every image in the vault, by the component's name.
	Copies func(ctx context.Context) (map[string]Copy, error)
	// Choose decides which images of the pools are captured.
	Choose Policy
	// Servers says that the databases which Choose reads tell which images belong to a server, and which were deleted.
	Servers bool
	Freeze  *Freeze // nil: no server is made to stand still
	// Distrust is after how many runs an image is read in full and compared; 0 is DefaultDistrust.
	Distrust int
	// Sample is how many pieces that did not change are read and compared after each increment; 0 is none.
	Sample int
	Limit  int64 // bytes that are read in a second, of all images together; 0 is no limit
	Now    func() time.Time
}

// DefaultDistrust is the number of runs after which an image is read in full.
const DefaultDistrust = 30

// Cluster is a Ceph cluster with the pools to capture.
type Cluster struct {
	cephcmd.Cluster
	// Prefix begins the names of the cluster's components, "" for the first cluster, else its name and a colon.
	Prefix string
	Pools  []Pool
	// Map reads the cluster's identity, which takes the ceph command a while: a caller may have begun it before.
	Map func() (cephcmd.Map, error)
}

// Pool is a pool whose images are captured.
type Pool struct {
	Name  string
	Piece int64 // bytes of the pieces that images are cut into; 0 for what suits each one's size
	Ops   int   // reads that one image's export may have in flight; 0 is Ceph's default
	Limit int64 // bytes that are read of its images in a second; 0 is no limit
}

// Copy is a good copy of an image in an earlier point.
type Copy struct {
	Point     string
	Component point.Component
	Killed    bool // Point is a run that made none, but had kept the copy
	// Doubt says why the copy must not be built on; "" when nothing speaks against it.
	Doubt string
}

// From names where the copy is.
func (c Copy) From() string {
	if c.Killed {
		return "run " + c.Point + ", which was cut off"
	}
	return "point " + c.Point
}

// Source captures block images. It implements source.Barrier.
type Source struct {
	Options
	marker marker
	budget budget

	mu      sync.Mutex
	planned []pool // as the plan saw them
	held    map[string]*image
	blind   map[*Cluster]error // of which no samples can be read
	facts   *rows.Facts        // as the plan knew them; nil when nothing was asked or nothing answered
}

// New returns the source.
func New(o Options) *Source {
	if o.Distrust == 0 {
		o.Distrust = DefaultDistrust
	}
	return &Source{Options: o, marker: newMarker(o.Vault), budget: newBudget(o.Limit)}
}

// Name implements source.Source.
func (s *Source) Name() string { return SourceName }

// pool is a pool as the plan found it.
type pool struct {
	source  *Source
	cluster *Cluster
	Pool
	budget budget
	fsid   string
	id     int64
	full   string // why no snapshot can be made in it, "" if it can
	images []cephcmd.Image
	trash  []cephcmd.Trashed
	lost   error // why the trash could not be looked through
}

// image is one image on its way through a run.
type image struct {
	pool *pool
	cephcmd.Image
	component string
	copy      *Copy
	above     *above // of the image that it is a clone of
	from      string // the snapshot the difference begins with, "" for a full
	compare   bool   // all of it is read, and compared with what Ceph says has changed since the copy
	changed   int64  // bytes of the objects that changed since, as the object map has it
	info      cephcmd.Info
	snapshot  cephcmd.Snapshot // what is read; of ours, only the name is known until it was read
	ours      bool             // this run made it
	at, until time.Time        // between which it was made
	freeze    wish
}

func (i *image) spec() cephcmd.Spec { return cephcmd.Spec{Pool: i.pool.Name, Image: i.Name} }
