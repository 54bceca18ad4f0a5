package vault

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
)

// place is where in a point something stands; file is a path in the tree of the source.
type place struct{ source, file string }

// difference walks what a tree holds and another one, its base, does not. The base is known to be whole: a directory, file
// or piece that is the same there is not looked at.
type difference struct {
	tree contents   // where the tree is read
	base []contents // where the base is read; the first that can serves
	// visit is told of each content, of some more than once. An error ends the walk.
	visit func(ctx context.Context, id content.ID, at place) error
	// broken is told of a directory or an index that cannot be read. An error ends the walk.
	broken func(ctx context.Context, id object.ID, at place, err error) error
}

// entry walks a file, or a directory and all below it. The base may be nil.
func (d *difference) entry(ctx context.Context, e, base *snapshot.DirEntry, at place) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if base != nil && base.ObjectID == e.ObjectID {
		return nil
	}
	if err := d.object(ctx, e, base, at); err != nil || e.Type != snapshot.EntryTypeDirectory {
		return err
	}
	children, err := d.tree.list(ctx, e)
	if err != nil {
		return d.broken(ctx, e.ObjectID, at, err)
	}
	old := d.children(ctx, base)
	for _, child := range children {
		if err := d.entry(ctx, child, old[child.Name], place{at.source, path.Join(at.file, child.Name)}); err != nil {
			return err
		}
	}
	return nil
}

// object walks what an entry consists of: the contents of its index, if it has one, and its pieces.
func (d *difference) object(ctx context.Context, e, base *snapshot.DirEntry, at place) error {
	index, nested := e.ObjectID.IndexObjectID()
	if !nested {
		return d.backing(ctx, e.ObjectID, at)
	}
	if err := d.backing(ctx, index, at); err != nil {
		return err
	}
	entries, err := d.tree.pieces(ctx, e)
	if err != nil {
		return d.broken(ctx, e.ObjectID, at, err)
	}
	old := d.pieces(ctx, base)
	var last object.ID
	for _, p := range entries {
		for len(old) > 0 && old[0].Start < p.Start {
			old = old[1:]
		}
		if p.Object == last || len(old) > 0 && old[0] == p {
			continue
		}
		last = p.Object
		if err := d.backing(ctx, p.Object, at); err != nil {
			return err
		}
	}
	return nil
}

// backing visits the contents of an object.
func (d *difference) backing(ctx context.Context, id object.ID, at place) error {
	var ids []content.ID
	err := guard(func() (err error) {
		ids, err = d.tree.backing(ctx, id, false)
		return err
	})
	if err != nil {
		return d.broken(ctx, id, at, err)
	}
	for _, id := range ids {
		if err := d.visit(ctx, id, at); err != nil {
			return err
		}
	}
	return nil
}

// children returns the names of a directory of the base; none when it cannot be read, and then everything is walked.
func (d *difference) children(ctx context.Context, base *snapshot.DirEntry) map[string]*snapshot.DirEntry {
	names := map[string]*snapshot.DirEntry{}
	if base == nil || base.Type != snapshot.EntryTypeDirectory {
		return names
	}
	for _, c := range d.base {
		children, err := c.list(ctx, base)
		if err != nil {
			continue
		}
		for _, child := range children {
			names[child.Name] = child
		}
		break
	}
	return names
}

// pieces returns those of a file of the base, as children does.
func (d *difference) pieces(ctx context.Context, base *snapshot.DirEntry) []object.IndirectObjectEntry {
	if base == nil || base.Type == snapshot.EntryTypeDirectory {
		return nil
	}
	for _, c := range d.base {
		if entries, err := c.pieces(ctx, base); err == nil {
			return entries
		}
	}
	return nil
}

// holdAny reports whether what an entry holds, and its base does not, has any content that is one of some. It fails when nobody can tell.
func (c contents) holdAny(ctx context.Context, e, base *snapshot.DirEntry, some func(context.Context, content.ID) bool) (bool, error) {
	found := errors.New("found")
	d := difference{
		tree: c, base: []contents{c},
		visit: func(ctx context.Context, id content.ID, _ place) error {
			if some(ctx, id) {
				return found
			}
			return nil
		},
		broken: func(_ context.Context, _ object.ID, _ place, err error) error { return err },
	}
	err := d.entry(ctx, e, base, place{})
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// list reads a directory.
func (c contents) list(ctx context.Context, e *snapshot.DirEntry) (children []*snapshot.DirEntry, err error) {
	err = guard(func() error {
		children, err = readDir(ctx, c.repo, e.ObjectID)
		return err
	})
	return children, err
}

// pieces reads the index of a file, and proves that it covers the file.
func (c contents) pieces(ctx context.Context, e *snapshot.DirEntry) (entries []object.IndirectObjectEntry, err error) {
	err = guard(func() error {
		entries, err = c.entries(ctx, e.ObjectID, e.FileSize)
		return err
	})
	if err != nil || e.Type != snapshot.EntryTypeFile {
		return entries, err
	}
	var end int64
	for _, p := range entries {
		if p.Start != end {
			return nil, fmt.Errorf("index leaves a gap at %d", end)
		}
		end += p.Length
	}
	if end != e.FileSize {
		return nil, fmt.Errorf("pieces have %d bytes of %d", end, e.FileSize)
	}
	return entries, nil
}
