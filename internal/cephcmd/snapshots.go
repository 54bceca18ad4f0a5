package cephcmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/stream/rbddiff"
)

// snapPatience is how long a snapshot, which takes a fraction of a second, may take.
const snapPatience = 2 * time.Minute

// Snap makes a snapshot. When a pool becomes full, Ceph lets it wait for room, and Snap gives up after a while.
func (c Cluster) Snap(ctx context.Context, s Spec) error {
	bounded, cancel := context.WithTimeout(ctx, snapPatience)
	defer cancel()
	err := c.Run(bounded, "rbd", "snap", "create", "--no-progress", s.String())
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return problem.New(problem.Failed, "see ceph health and ceph df: in a full pool it waits for room", "snapshot %s was not there after %s", s, snapPatience)
	}
	return err
}

// Unsnap removes a snapshot of the image with that id, whatever its name is now and whether or not it is in the trash. One
// that is gone already is no error.
func (c Cluster) Unsnap(ctx context.Context, pool, imageID, snapshot string) error {
	err := c.Run(ctx, "rbd", "snap", "rm", "--no-progress", "--pool", pool, "--image-id", imageID, "--snap", snapshot)
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Snapshots lists the snapshots of the image with that id, whatever its name is now and whether or not it is in the
// trash. It fails as IsNotFound tells when there is no such image any more.
func (c Cluster) Snapshots(ctx context.Context, pool, imageID string) ([]Snapshot, error) {
	var lines []struct {
		ID        int64  `json:"id"`
		Name      string `json:"name"`
		Size      int64  `json:"size"`
		Protected string `json:"protected"`
	}
	if err := c.briefly(ctx, &lines, "snap", "ls", "--pool", pool, "--image-id", imageID); err != nil {
		return nil, err
	}
	var all []Snapshot
	for _, l := range lines {
		all = append(all, Snapshot{l.ID, l.Name, l.Size, l.Protected == "true"})
	}
	return all, nil
}

// Held finds the snapshots of those names among those of the image with that id. A reader of a snapshot that is removed
// meanwhile gets zeros and no error, and one of the difference to it not all that differs. So what was read counts only if both are
// found after the last byte; else the error is a Removed.
func (c Cluster) Held(ctx context.Context, pool, imageID string, names ...string) ([]Snapshot, error) {
	all, err := c.Snapshots(ctx, pool, imageID)
	if IsNotFound(err) {
		return nil, fmt.Errorf("the image with id %s was deleted while it was read", imageID)
	}
	if err != nil {
		return nil, err
	}
	var found []Snapshot
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Snapshot) bool { return s.Name == name })
		if i < 0 {
			return nil, Removed{name}
		}
		found = append(found, all[i])
	}
	return found, nil
}

// Removed is the error that a snapshot is gone that was there.
type Removed struct{ Name string }

func (r Removed) Error() string { return "snapshot " + r.Name + " was removed while it was read" }

// Precision is how closely Ceph looks for what changed.
type Precision bool

// Objects asks the image's object map, where it has one: at once, whatever the image's size, and right to whole objects.
// Extents asks for every object of the image what was written in it.
const (
	Objects Precision = true
	Extents Precision = false
)

func (p Precision) args() []string {
	if p == Objects {
		return []string{"--whole-object"}
	}
	return nil
}

// Changed returns the extents in which an image, or a snapshot of it, may differ from one of its earlier snapshots; from
// "" from nothing at all.
func (c Cluster) Changed(ctx context.Context, s Spec, from string, p Precision) ([]rbddiff.Extent, error) {
	args := append([]string{"diff"}, p.args()...)
	if from != "" {
		args = append(args, "--from-snap", from)
	}
	var lines []struct {
		Offset int64  `json:"offset"`
		Length int64  `json:"length"`
		Exists string `json:"exists"`
	}
	if err := c.JSON(ctx, &lines, "rbd", append(args, s.String())...); err != nil {
		return nil, err
	}
	var extents []rbddiff.Extent
	for _, l := range lines {
		extents = append(extents, rbddiff.Extent{Offset: l.Offset, Length: l.Length, Zero: l.Exists != "true"})
	}
	return extents, nil
}

// Export says what to stream.
type Export struct {
	Spec              // a snapshot
	From    string    // the earlier snapshot that the stream is the difference to; "" for all that the snapshot holds
	Precise Precision // of the difference
	Ops     int       // reads in flight at once; 0 is Ceph's default
}

// ExportDiff streams what a snapshot holds, or how it differs from an earlier snapshot of the image.
func (c Cluster) ExportDiff(ctx context.Context, e Export, read func(io.Reader) error) error {
	args := append([]string{"export-diff", "--no-progress"}, e.Precise.args()...)
	if e.From != "" {
		args = append(args, "--from-snap", e.From)
	}
	if e.Ops > 0 {
		args = append(args, "--rbd-concurrent-management-ops", fmt.Sprint(e.Ops))
	}
	return c.Stream(ctx, read, "rbd", append(args, e.Spec.String(), "-")...)
}
