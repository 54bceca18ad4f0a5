package restore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
	"holdfast/internal/stream/rbddiff"
	"holdfast/internal/vault"
)

// ImageNew brings a block image back as a new image of a cluster.
type ImageNew struct {
	r      *Restorer
	plan   Plan
	copy   imageCopy
	on     cephcmd.Cluster
	target cephcmd.Spec
	parent *cephcmd.Spec // that the new image becomes a clone of; nil for none
	base   *vault.File   // what the parent holds
	write  []rbddiff.Extent
}

// ImageNew plans the restore of an image as a new one, by default under a name that tells its point.
func (r *Restorer) ImageNew(ctx context.Context, p point.Point, name string, on cephcmd.Cluster, as string) (*ImageNew, error) {
	c, err := r.imageCopy(ctx, p, name)
	if err != nil {
		return nil, err
	}
	n := &ImageNew{r: r, copy: c, on: on, plan: Plan{Title: "restore image " + name, Point: p.ID}}
	if n.target, err = targetSpec(c.identity, p.ID, as); err != nil {
		return nil, err
	}
	if err := n.findParent(ctx, p); err != nil {
		return nil, err
	}
	if n.write, err = changes(c.file, n.base); err != nil {
		return nil, err
	}
	if err := n.room(ctx); err != nil {
		return nil, err
	}
	n.describe(name)
	return n, nil
}

var specPattern = regexp.MustCompile(`^([^/@]+)/([^/@]+)$`)

// targetSpec reads POOL/NAME, or makes a name.
func targetSpec(id rbd.Identity, pointID, as string) (cephcmd.Spec, error) {
	if as == "" {
		return cephcmd.Spec{Pool: id.Pool, Image: id.Image + ".restored-" + pointID}, nil
	}
	m := specPattern.FindStringSubmatch(as)
	if m == nil {
		return cephcmd.Spec{}, problem.New(problem.Usage, "write it as POOL/NAME, volumes/volume-1", "%q names no image", as)
	}
	return cephcmd.Spec{Pool: m[1], Image: m[2]}, nil
}

// findParent finds out whether the new image can be a clone of what the old one was a clone of.
func (n *ImageNew) findParent(ctx context.Context, p point.Point) error {
	was := n.copy.identity.Parent
	if was == nil {
		return nil
	}
	spec := cephcmd.Spec{Pool: was.Pool, Image: was.Image, Snapshot: was.Snapshot}
	flat := func(why string) error {
		n.plan.Notes = append(n.plan.Notes, "it was a clone of "+spec.String()+" and comes back with all of its data: "+why)
		return nil
	}
	live, err := n.on.Info(ctx, spec)
	switch {
	case cephcmd.IsNotFound(err):
		return flat("that is gone")
	case err != nil:
		return err
	case was.ID != "" && live.ID != was.ID:
		return flat("another image has that name now")
	}
	base, err := n.r.imageCopy(ctx, p, n.prefix()+was.Pool+"/"+was.Image)
	switch {
	case problem.KindOf(err) == problem.NotFound:
		return flat("the point holds no copy of it to compare with")
	case err != nil:
		return err
	case base.identity.ImageID != live.ID || base.identity.Snapshot != was.Snapshot || base.identity.FSID != n.copy.identity.FSID:
		return flat("the point's copy of it is of another image")
	}
	n.parent, n.base = &spec, base.file
	return nil
}

// prefix is what the names of the cluster's components begin with.
func (n *ImageNew) prefix() string {
	name := n.copy.component.Name
	return strings.TrimSuffix(name, n.copy.identity.Pool+"/"+n.copy.identity.Image)
}

// room looks at the place where the image is to be.
func (n *ImageNew) room(ctx context.Context) error {
	images, err := n.on.Images(ctx, n.target.Pool)
	if cephcmd.IsNotFound(err) {
		return problem.New(problem.Usage, "ceph osd pool ls lists the pools", "cluster %s has no pool %s", n.on, n.target.Pool)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(images, func(i cephcmd.Image) bool { return i.Name == n.target.Image }) {
		n.plan.refuse("", "give another name with --as, or replace its content with --in-place", "%s exists", n.target)
	}
	free, err := n.on.Free(ctx, n.target.Pool)
	if err != nil {
		return err
	}
	n.plan.needs("pool "+n.target.Pool, bytesOf(n.write), free)
	return nil
}

func bytesOf(extents []rbddiff.Extent) (n int64) {
	for _, e := range extents {
		if !e.Zero {
			n += e.Length
		}
	}
	return n
}

func (n *ImageNew) describe(name string) {
	how := fmt.Sprintf("create %s of %s", n.part(), size(n.copy.file.Size()))
	if n.parent != nil {
		how = fmt.Sprintf("clone %s to %s", n.parent, n.part())
	}
	n.plan.Steps = []string{how, fmt.Sprintf("write %s of %s into it", size(bytesOf(n.write)), name)}
	if n.glance() {
		n.plan.Steps = append(n.plan.Steps, "make and protect its snapshot "+rbd.GlanceSnapshot+", as Glance has it")
	}
	n.plan.Steps = append(n.plan.Steps, "rename it to "+n.target.String())
	n.plan.Undo = []string{"rbd rm " + n.target.String()}
	if n.glance() {
		n.plan.Undo = slices.Insert(n.plan.Undo, 0, "rbd snap unprotect "+n.target.At(rbd.GlanceSnapshot).String(), "rbd snap rm "+n.target.At(rbd.GlanceSnapshot).String())
	}
}

// glance reports whether the image comes back under the name that Glance knows it by.
func (n *ImageNew) glance() bool {
	return n.copy.identity.Snapshot == rbd.GlanceSnapshot && n.target.Image == n.copy.identity.Image
}

// part is the image's name until it is whole.
func (n *ImageNew) part() cephcmd.Spec {
	return cephcmd.Spec{Pool: n.target.Pool, Image: n.target.Image + ".part"}
}

// Plan returns what would be done.
func (n *ImageNew) Plan() *Plan { return &n.plan }

// Execute makes the image under another name and renames it once it is whole.
func (n *ImageNew) Execute(ctx context.Context) error {
	if err := n.begin(ctx); err != nil {
		return problem.Wrap(err, "restore to", n.target.String())
	}
	err := n.fill(ctx)
	if err == nil && n.glance() {
		snap := n.part().At(rbd.GlanceSnapshot)
		err = n.r.step("make and protect snapshot "+rbd.GlanceSnapshot, func() error {
			if err := n.on.Snap(ctx, snap); err != nil {
				return err
			}
			return n.on.Protect(ctx, snap)
		})
	}
	if err == nil {
		err = n.on.Rename(ctx, n.part(), n.target)
	}
	if err != nil {
		return problem.Wrap(errors.Join(err, n.undo(ctx)), "restore to", n.target.String())
	}
	n.plan.Outcome = append(n.plan.Outcome, n.target.String()+" holds what "+n.copy.component.Name+" held")
	return nil
}

// begin makes the image that is then filled. One that a killed restore left half filled is in the way and is told.
func (n *ImageNew) begin(ctx context.Context) error {
	id := n.copy.identity
	shape := cephcmd.Shape{Size: n.copy.file.Size(), Order: id.Order, Features: id.Features, DataPool: id.DataPool}
	err := n.r.step("create "+n.part().String(), func() error {
		if n.parent != nil {
			return n.on.Clone(ctx, *n.parent, n.part(), shape)
		}
		return n.on.Create(ctx, n.part(), shape)
	})
	if cephcmd.IsExists(err) {
		return problem.New(problem.Failed, "if no other restore is on its way, remove it: rbd rm "+n.part().String(), "%s is there from a restore that did not end", n.part())
	}
	return err
}

func (n *ImageNew) fill(ctx context.Context) error {
	return n.r.feed(ctx, "write "+n.copy.component.Name+" to "+n.part().String(), n.on, n.part(), n.copy.file, n.write)
}

// undo removes what was made before something failed.
func (n *ImageNew) undo(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := patiently(ctx, func() error { return n.on.Remove(ctx, n.part()) })
	if err != nil && !cephcmd.IsNotFound(err) {
		return fmt.Errorf("and %s could not be removed again: %w", n.part(), err)
	}
	return nil
}
