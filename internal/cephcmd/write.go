package cephcmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Shape is what a new image is like.
type Shape struct {
	Size     int64 // in bytes
	Order    int   // its objects have 1 << Order bytes; 0 is Ceph's default
	Features []string
	DataPool string // "" is the image's own pool
}

// settable are the features that an image can be created with; others tell of what it went through.
var settable = []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"}

// args are the options of rbd create, import and clone.
func (s Shape) args() (args []string) {
	if s.Order != 0 {
		args = append(args, "--object-size", fmt.Sprint(int64(1)<<s.Order)+"B")
	}
	if s.DataPool != "" {
		args = append(args, "--data-pool", s.DataPool)
	}
	var features []string
	for _, f := range settable {
		if slices.Contains(s.Features, f) {
			features = append(features, f)
		}
	}
	if len(features) > 0 {
		args = append(args, "--image-feature", strings.Join(features, ","))
	}
	return args
}

// Create makes an image of zeros.
func (c Cluster) Create(ctx context.Context, s Spec, shape Shape) error {
	args := append([]string{"create", "--size", fmt.Sprintf("%dB", shape.Size)}, shape.args()...)
	return c.Run(ctx, "rbd", append(args, s.String())...)
}

// Clone makes an image that holds what a protected snapshot of another holds.
func (c Cluster) Clone(ctx context.Context, parent, child Spec, shape Shape) error {
	args := append([]string{"clone"}, shape.args()...)
	return c.Run(ctx, "rbd", append(args, parent.String(), child.String())...)
}

// ImportDiff lays a stream of rbd export-diff, version 1, over an image.
func (c Cluster) ImportDiff(ctx context.Context, s Spec, in io.Reader) error {
	return c.Feed(ctx, in, "rbd", "import-diff", "--no-progress", "-", s.String())
}

// Import makes an image of the bytes in, leaving out what is zeros.
func (c Cluster) Import(ctx context.Context, s Spec, shape Shape, in io.Reader) error {
	args := append([]string{"import", "--no-progress"}, shape.args()...)
	return c.Feed(ctx, in, "rbd", append(args, "-", s.String())...)
}

// Resize changes an image's size in bytes; what lies beyond a smaller one is lost.
func (c Cluster) Resize(ctx context.Context, s Spec, size int64) error {
	return c.Run(ctx, "rbd", "resize", "--no-progress", "--allow-shrink", "--size", fmt.Sprintf("%dB", size), s.String())
}

// Rename gives an image another name in its pool.
func (c Cluster) Rename(ctx context.Context, from, to Spec) error {
	return c.Run(ctx, "rbd", "rename", from.String(), to.String())
}

// Remove removes an image without snapshots.
func (c Cluster) Remove(ctx context.Context, s Spec) error {
	return c.Run(ctx, "rbd", "rm", "--no-progress", s.String())
}

// Protect keeps a snapshot from being removed, so that it can be cloned from.
func (c Cluster) Protect(ctx context.Context, s Spec) error {
	return c.Run(ctx, "rbd", "snap", "protect", s.String())
}

// Free is how many bytes can still be stored in a pool, after replication and within its quota.
func (c Cluster) Free(ctx context.Context, pool string) (int64, error) {
	var df struct {
		Pools []struct {
			Name  string `json:"name"`
			Stats struct {
				Free   int64 `json:"max_avail"`
				Stored int64 `json:"stored"`
				Quota  int64 `json:"quota_bytes"` // 0 is none
			} `json:"stats"`
		} `json:"pools"`
	}
	if err := c.ask(ctx, &df, "df", "detail", "detail"); err != nil {
		return 0, err
	}
	for _, p := range df.Pools {
		if p.Name == pool {
			if p.Stats.Quota > 0 {
				return min(p.Stats.Free, max(p.Stats.Quota-p.Stats.Stored, 0)), nil
			}
			return p.Stats.Free, nil
		}
	}
	return 0, fmt.Errorf("cluster %s has no pool %s", c, pool)
}
