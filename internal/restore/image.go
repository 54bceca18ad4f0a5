package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

// imageCopy is the copy of a block image in a point, opened.
type imageCopy struct {
	component point.Component
	identity  rbd.Identity
	file      *vault.File
	extents   []vault.Extent // that are not zeros
	data      int64          // bytes of them
}

// imageCopy finds the good copy of an image in a point and opens it.
func (r *Restorer) imageCopy(ctx context.Context, p point.Point, name string) (c imageCopy, err error) {
	if c.component, err = goodOf(p, rbd.SourceName, name); err != nil {
		return c, err
	}
	if c.identity, err = rbd.IdentityOf(c.component); err != nil {
		return c, err
	}
	fsys, err := r.Vault.FS(ctx, p.ID, rbd.SourceName)
	if err != nil {
		return c, err
	}
	f, err := fsys.Open(c.component.Path)
	if err != nil {
		return c, err
	}
	file, ok := f.(*vault.File)
	if !ok {
		return c, errors.Join(fmt.Errorf("%s is no image in point %s", c.component.Path, p.ID), f.Close())
	}
	c.file = file
	c.extents, err = file.Extents()
	for _, e := range c.extents {
		c.data += e.Length
	}
	return c, err
}

// ImageFile brings a block image back as a raw file, with holes where the image has them.
type ImageFile struct {
	r    *Restorer
	plan Plan
	copy imageCopy
	to   string
}

// ImageFile plans the restore of an image into a file that does not exist yet.
func (r *Restorer) ImageFile(ctx context.Context, p point.Point, name, to string) (*ImageFile, error) {
	c, err := r.imageCopy(ctx, p, name)
	if err != nil {
		return nil, err
	}
	f := &ImageFile{r: r, copy: c, to: to, plan: Plan{Title: "restore image " + name, Point: p.ID}}
	if _, err := os.Lstat(to); err == nil {
		f.plan.refuse("", "give a file that does not exist yet", "%s exists", to)
	}
	free, err := FreeBytes(filepath.Dir(to))
	if err != nil {
		return nil, err
	}
	f.plan.needs(filepath.Dir(to), c.data, free)
	f.plan.Steps = []string{fmt.Sprintf("write %s as a raw file of %s with %s of data to %s", name, size(c.file.Size()), size(c.data), to)}
	f.plan.Notes = append(f.plan.Notes, "no cluster is touched")
	return f, nil
}

// Plan returns what would be done.
func (f *ImageFile) Plan() *Plan { return &f.plan }

// Execute writes the file, under another name until it is whole.
func (f *ImageFile) Execute(ctx context.Context) error {
	part := f.to + ".part"
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return problem.Wrap(err, "restore to", f.to)
	}
	err = f.r.step("write "+f.copy.component.Name+" to "+f.to, func() error { return f.fill(ctx, out) })
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = os.Rename(part, f.to)
	}
	if err != nil {
		return problem.Wrap(errors.Join(err, os.Remove(part)), "restore to", f.to)
	}
	return nil
}

// fill writes the extents; what lies between them stays a hole.
func (f *ImageFile) fill(ctx context.Context, out *os.File) error {
	if err := out.Truncate(f.copy.file.Size()); err != nil {
		return err
	}
	count := f.r.counter("write "+f.copy.component.Name+" to "+f.to, f.copy.data)
	return f.copy.file.Walk(f.copy.extents, func(offset int64, data []byte) error {
		n, err := out.WriteAt(data, offset)
		count(int64(n))
		return errors.Join(err, ctx.Err())
	})
}
