package restore

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
	"holdfast/internal/stream/rbddiff"
	"holdfast/internal/vault"
)

// ImageInPlace gives an image the content that a point holds of it, writing only what differs.
type ImageInPlace struct {
	r     *Restorer
	plan  Plan
	copy  imageCopy
	on    cephcmd.Cluster
	found found
	live  cephcmd.Image
	kept  string     // the snapshot that keeps what is replaced
	base  *imageCopy // the newest copy, whose snapshot is still there; nil for a full comparison
	since string     // that snapshot
	write []rbddiff.Extent
}

// keptPrefix begins the names of snapshots that hold what a restore replaced. Nothing of ours ever removes them.
const keptPrefix = "holdfast-kept-"

// ImageInPlace plans the restore of an image into the image itself. Points are all of the vault's.
func (r *Restorer) ImageInPlace(ctx context.Context, p point.Point, points []point.Point, name string, on cephcmd.Cluster) (*ImageInPlace, error) {
	c, err := r.imageCopy(ctx, p, name)
	if err != nil {
		return nil, err
	}
	i := &ImageInPlace{r: r, copy: c, on: on, plan: Plan{Title: "restore image " + name + " in place", Point: p.ID}}
	i.kept = fmt.Sprintf("%s%s-%d", keptPrefix, p.ID, r.Now().Unix())
	if err := i.look(ctx); err != nil {
		return nil, err
	}
	if err := i.findBase(ctx, points); err != nil {
		return nil, err
	}
	if err := i.compare(ctx); err != nil {
		return nil, err
	}
	i.describe()
	return i, nil
}

func (i *ImageInPlace) spec() cephcmd.Spec {
	return cephcmd.Spec{Pool: i.copy.identity.Pool, Image: i.copy.identity.Image}
}

// found is what the cluster says of the image and where it lies.
type found struct {
	images   []cephcmd.Image // of its pool
	cluster  cephcmd.Map
	watchers []string // who has it open
	free     int64    // bytes of room in its pool
}

// find asks the cluster, for all of it at once.
func (i *ImageInPlace) find(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	spec := i.spec()
	g.Go(func() (err error) {
		i.found.images, err = i.on.Images(ctx, spec.Pool)
		return err
	})
	g.Go(func() (err error) {
		i.found.cluster, err = i.on.Map(ctx)
		return err
	})
	g.Go(func() (err error) {
		i.found.free, err = i.on.Free(ctx, spec.Pool)
		return err
	})
	g.Go(func() (err error) {
		if i.found.watchers, err = i.on.Watchers(ctx, spec); cephcmd.IsNotFound(err) {
			return nil // that it is gone is seen in the listing
		}
		return err
	})
	return g.Wait()
}

// look finds the image as it is, and what speaks against writing to it.
func (i *ImageInPlace) look(ctx context.Context) error {
	if err := i.find(ctx); err != nil {
		return err
	}
	for _, img := range i.found.images {
		if img.Name == i.spec().Image {
			i.live = img
		}
	}
	if i.live.ID == "" {
		return problem.New(problem.NotFound, "bring it back as a new one: give --as "+i.spec().String()+" instead of --in-place", "there is no image %s", i.spec())
	}
	if i.live.ID != i.copy.identity.ImageID {
		i.plan.refuse(AcceptIdentity, "restore it as a new image with --as", "%s is another image now, with id %s; the copy is of %s", i.spec(), i.live.ID, i.copy.identity.ImageID)
	}
	if i.copy.identity.Snapshot == rbd.GlanceSnapshot {
		i.plan.refuse("", "restore it as a new one with --as, and upload that", "an image of Glance never changes")
	}
	if fsid := i.found.cluster.FSID; fsid != i.copy.identity.FSID {
		i.plan.refuse(AcceptIdentity, "restore it as a new image with --as", "the cluster is %s and the copy is of %s", fsid, i.copy.identity.FSID)
	}
	if len(i.found.watchers) > 0 {
		i.plan.refuse("", closeIt, "it is open at %s", strings.Join(i.found.watchers, ", "))
	}
	return nil
}

// closeIt is what to do about an image that somebody has open.
const closeIt = "stop the server that uses it, or detach the volume"

// findBase finds the newest copy whose snapshot the image still has: what changed since, and what the two copies differ in,
// is all that can differ.
func (i *ImageInPlace) findBase(ctx context.Context, points []point.Point) error {
	for n := len(points) - 1; n >= 0; n-- {
		c, ok := points[n].Component(rbd.SourceName, i.copy.component.Name)
		if !ok || c.State != point.Good {
			continue
		}
		id, err := rbd.IdentityOf(c)
		if err != nil || id.ImageID != i.live.ID || id.FSID != i.copy.identity.FSID {
			continue
		}
		if snap, ok := i.live.Snapshot(id.Snapshot); !ok || snap.ID != id.SnapshotID {
			continue
		}
		base, err := i.r.imageCopy(ctx, points[n], i.copy.component.Name)
		if err != nil {
			return err
		}
		i.base, i.since = &base, id.Snapshot
		return nil
	}
	return nil
}

// compare finds where the image may differ from the copy, as it is now.
func (i *ImageInPlace) compare(ctx context.Context) error {
	if i.base == nil {
		i.plan.Notes = append(i.plan.Notes, "no snapshot of ours is left on it, so that all of it is read and compared")
		return nil
	}
	changed, err := i.changed(ctx, i.spec())
	if err != nil {
		return err
	}
	i.differ(changed)
	return nil
}

// changed asks the image, or a snapshot of it, what changed since the base.
func (i *ImageInPlace) changed(ctx context.Context, at cephcmd.Spec) ([]rbddiff.Extent, error) {
	return i.on.Changed(ctx, at, i.since, rbd.HowClosely(ctx, i.on, at, i.base.identity, i.live.Snapshots))
}

// differ concludes from what changed since the base where the image may differ from the copy, and what is to be written.
func (i *ImageInPlace) differ(changed []rbddiff.Extent) {
	var live []vault.Extent
	for _, e := range changed {
		live = append(live, vault.Extent{Offset: e.Offset, Length: e.Length})
	}
	// What was cut off the image and is there again in the copy, and what the copy has beyond the base.
	if least := min(i.live.Size, i.base.file.Size()); least < i.copy.file.Size() {
		live = union(live, []vault.Extent{{Offset: least, Length: i.copy.file.Size() - least}})
	}
	i.overwrite(intersect(union(live, i.copy.file.Differs(i.base.file)), []vault.Extent{{Length: i.copy.file.Size()}}))
}

// overwrite has the copy's content written within some extents.
func (i *ImageInPlace) overwrite(within []vault.Extent) {
	i.write = marked(intersect(within, i.copy.extents), false)
	i.write = ordered(append(i.write, marked(subtract(within, i.copy.extents), true)...))
}

func (i *ImageInPlace) describe() {
	spec := i.spec()
	i.plan.Steps = []string{fmt.Sprintf("keep what %s holds now as its snapshot %s", spec, i.kept)}
	if i.base == nil {
		i.plan.Steps = append(i.plan.Steps, fmt.Sprintf("read all %s of it and write what differs", size(i.live.Size)))
	} else {
		i.plan.Steps = append(i.plan.Steps, fmt.Sprintf("write %s of data and %s of zeros, where it may differ", size(bytesOf(i.write)), size(zerosOf(i.write))))
	}
	i.plan.Steps = append(i.plan.Steps, "read back what was written and compare")
	if i.live.Size != i.copy.file.Size() {
		i.plan.Steps = append(i.plan.Steps, fmt.Sprintf("its size becomes %s, and was %s", size(i.copy.file.Size()), size(i.live.Size)))
	}
	i.plan.Undo = []string{"rbd snap rollback " + spec.At(i.kept).String()}
	i.plan.Keeps = true
	i.plan.Notes = append(i.plan.Notes, "once it is not needed: rbd snap rm "+spec.At(i.kept).String())
	need := bytesOf(i.write)
	if i.base == nil {
		need = i.copy.data
	}
	i.plan.needs("pool "+spec.Pool, need, i.found.free)
}

func zerosOf(extents []rbddiff.Extent) (n int64) {
	for _, e := range extents {
		if e.Zero {
			n += e.Length
		}
	}
	return n
}

// Plan returns what would be done.
func (i *ImageInPlace) Plan() *Plan { return &i.plan }

// Execute keeps the old content, writes what differs, and reads it back.
func (i *ImageInPlace) Execute(ctx context.Context) error {
	spec := i.spec()
	if err := i.r.step("keep what it holds now", func() error { return i.keep(ctx) }); err != nil {
		i.forget()
		return problem.Wrap(err, "restore in place", spec.String())
	}
	var err error
	if i.base == nil {
		err = i.r.step("compare all of "+spec.String(), func() error { return i.compareAll(ctx) })
	}
	if err == nil {
		err = i.fill(ctx)
	}
	if err == nil {
		err = i.r.step("read back and compare", func() error { return i.readBack(ctx) })
	}
	if err != nil {
		p := problem.Wrap(err, "restore in place", spec.String())
		p.Hint = "what it held before is kept: run the same command again, or take it back with rbd snap rollback " + spec.At(i.kept).String()
		return p
	}
	i.plan.Outcome = append(i.plan.Outcome, spec.String()+" holds what it held at "+i.copy.component.At.Format("2006-01-02 15:04:05 MST"))
	return nil
}

// keep makes the snapshot of what is replaced, and looks again: since the plan was made somebody may have opened the image,
// and what he wrote until the snapshot is found by nobody else. What is written after it, readBack finds.
func (i *ImageInPlace) keep(ctx context.Context) error {
	spec := i.spec()
	if err := i.on.Snap(ctx, spec.At(i.kept)); err != nil {
		return err
	}
	var watchers []string
	var now cephcmd.Snapshot
	var changed []rbddiff.Extent
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		watchers, err = i.on.Watchers(ctx, spec)
		return err
	})
	g.Go(func() (err error) {
		names := []string{i.kept}
		if i.base != nil {
			if changed, err = i.changed(ctx, spec.At(i.kept)); err != nil {
				return err
			}
			names = append(names, i.since)
		}
		found, err := i.on.Held(ctx, spec.Pool, i.live.ID, names...) // under its id: another image may have its name now
		if err == nil {
			now = found[0]
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if len(watchers) > 0 {
		return problem.New(problem.Failed, closeIt, "since the plan was made it is open at %s", strings.Join(watchers, ", "))
	}
	i.live.Size = now.Size
	if i.base != nil {
		i.differ(changed)
	}
	return nil
}

// forget takes the snapshot away again before anything was written. One that cannot be removed does no harm.
func (i *ImageInPlace) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = i.on.Unsnap(ctx, i.spec().Pool, i.live.ID, i.kept)
}

func (i *ImageInPlace) fill(ctx context.Context) error {
	if len(i.write) == 0 && i.live.Size == i.copy.file.Size() {
		return nil
	}
	return i.r.feed(ctx, "write what differs to "+i.spec().String(), i.on, i.spec(), i.copy.file, i.write)
}

// compareAll reads the kept snapshot and finds the pieces that differ from the copy.
func (i *ImageInPlace) compareAll(ctx context.Context) error {
	c := newComparison(i.copy)
	err := i.on.ExportDiff(ctx, cephcmd.Export{Spec: i.spec().At(i.kept)}, func(r io.Reader) error { return c.read(r) })
	if err != nil {
		return err
	}
	i.overwrite(c.different)
	return nil
}

// readBack reads everything in which the image now differs from what was kept, and compares it with the copy. Nothing else
// was written.
func (i *ImageInPlace) readBack(ctx context.Context) error {
	c := newComparison(i.copy)
	c.from = i.kept
	err := i.on.ExportDiff(ctx, cephcmd.Export{Spec: i.spec(), From: i.kept, Precise: cephcmd.Objects}, func(r io.Reader) error { return c.read(r) })
	if err == nil && len(c.different) > 0 {
		err = fmt.Errorf("%d bytes at %d are not what was written", c.different[0].Length, c.different[0].Offset)
	}
	return err
}
