package vault

import (
	"context"
	"fmt"
	"path"

	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/point"
)

// pointWalk visits all that one point consists of, and compares it with the point's own manifest.
type pointWalk struct {
	vf    *verifier
	visit visitor
	id    string

	manifest   point.Point
	source     string
	components map[string]point.Component // of the source, by path
	files      int64
	bytes      int64
}

func (w *pointWalk) damage(ctx context.Context, component, file string, err error) {
	if !w.vf.present(ctx, err) {
		return
	}
	w.vf.damage(Damage{Point: w.id, Source: w.source, Component: component, File: file, What: err.Error()})
}

// point checks the snapshot that seals the point, then every source it names.
func (w *pointWalk) point(ctx context.Context, m *snapshot.Manifest) {
	w.source = pointPath
	w.entry(ctx, m.RootEntry, ".", "")
	w.record(ctx)
	sources, ok := w.read(ctx, m)
	if !ok {
		return
	}
	found := map[string]bool{}
	for _, s := range sources {
		found[s.Source] = true
		w.walkSource(ctx, s)
	}
	for _, c := range w.manifest.Components {
		if c.State == point.Good && c.Path != "" && !found[c.Source] {
			w.source = c.Source
			w.damage(ctx, c.Name, "", fmt.Errorf("the point names no snapshot of %s", c.Source))
		}
	}
}

// record reads the point's record, which stands in for what kopia may lose of it. Of a point on its way out it is the first to go.
func (w *pointWalk) record(ctx context.Context) {
	if _, err := w.vf.v.record(ctx, w.id); err != nil && ctx.Err() == nil && !w.vf.v.leaving(ctx, w.id) {
		w.vf.badRecords[w.id] = true
		w.damage(ctx, "", "", fmt.Errorf("the record of the point: %w", err))
	}
}

// read reads what the point says of itself, or its record when that is damaged.
func (w *pointWalk) read(ctx context.Context, m *snapshot.Manifest) (sources []Source, ok bool) {
	whole := true
	for name, into := range map[string]any{manifestName: &w.manifest, sourcesName: &sources} {
		if err := w.load(ctx, m, name, into); err != nil {
			w.damage(ctx, "", name, err)
			whole = false
		}
	}
	if whole {
		return sources, true
	}
	r, err := w.vf.v.record(ctx, w.id)
	w.manifest = r.Point
	return r.Sources, err == nil
}

func (w *pointWalk) load(ctx context.Context, m *snapshot.Manifest, name string, into any) error {
	return guard(func() error { return w.vf.v.loadJSON(ctx, m, name, into) })
}

func (w *pointWalk) walkSource(ctx context.Context, s Source) {
	w.source, w.files, w.bytes = s.Source, 0, 0
	m, ok := w.vf.snapshots[identity{w.id, s.Source, s.Root}]
	if !ok {
		w.damage(ctx, "", "", fmt.Errorf("there is no snapshot of %s with the root that the point names", s.Source))
		return
	}
	w.components = map[string]point.Component{}
	missing := map[string]bool{}
	for _, c := range w.manifest.Components {
		if c.Source == s.Source && c.Path != "" {
			w.components[c.Path] = c
			missing[c.Path] = c.State == point.Good
		}
	}
	before := len(w.vf.report().Damaged)
	w.entry(ctx, m.RootEntry, ".", "")
	w.missing(ctx, m, missing)
	if whole := len(w.vf.report().Damaged) == before; whole && (w.files != s.Files || w.bytes != s.Bytes) {
		w.damage(ctx, "", "", fmt.Errorf("%d files with %d bytes of %d with %d", w.files, w.bytes, s.Files, s.Bytes))
	}
}

// missing reports the good components that are not in the source's tree.
func (w *pointWalk) missing(ctx context.Context, m *snapshot.Manifest, expected map[string]bool) {
	fsys := newFS(ctx, w.vf.v, m)
	for p, good := range expected {
		if !good {
			continue
		}
		if err := guard(func() error { _, err := fsys.lookup(p); return err }); err != nil {
			w.damage(ctx, w.components[p].Name, "", fmt.Errorf("component is missing: %w", err))
		}
	}
}

// entry visits the contents of a file or directory and all below it.
func (w *pointWalk) entry(ctx context.Context, e *snapshot.DirEntry, rel, component string) {
	if c, ok := w.components[rel]; ok {
		component = c.Name
	}
	if e.Type == snapshot.EntryTypeFile {
		w.files++
		w.bytes += e.FileSize
		w.vf.mu.Lock()
		w.vf.rep.Files++
		w.vf.of(w.id).Files++
		w.vf.mu.Unlock()
	}
	if err := guard(func() error { return w.object(ctx, e) }); err != nil {
		w.damage(ctx, component, rel, err)
		return
	}
	if e.Type != snapshot.EntryTypeDirectory {
		return
	}
	children, err := readDir(ctx, w.vf.v.repo, e.ObjectID)
	if err != nil {
		w.vf.unreadable(ctx, e.ObjectID, err)
		w.damage(ctx, component, rel, err)
		return
	}
	for _, child := range children {
		if ctx.Err() != nil {
			return
		}
		w.entry(ctx, child, path.Join(rel, child.Name), component)
	}
}

// object checks what an entry consists of, once per walk.
func (w *pointWalk) object(ctx context.Context, e *snapshot.DirEntry) error {
	err, ok := w.vf.objects[e.ObjectID]
	if !ok {
		err = w.pieces(ctx, e)
		w.vf.objects[e.ObjectID] = err
	}
	return err
}

// pieces visits the contents of an entry, first those of its index, and checks its length.
func (w *pointWalk) pieces(ctx context.Context, e *snapshot.DirEntry) error {
	if err := w.index(ctx, e.ObjectID); err != nil {
		return err
	}
	entries, err := w.vf.c.entries(ctx, e.ObjectID, e.FileSize)
	if err != nil {
		w.vf.unreadable(ctx, e.ObjectID, err)
		return err
	}
	var end int64
	for _, p := range entries {
		if p.Start != end {
			return fmt.Errorf("index leaves a gap at %d", end)
		}
		end += p.Length
		ids, err := w.vf.c.backing(ctx, p.Object, false)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := w.visit(ctx, w.id, id); err != nil {
				return err
			}
		}
	}
	if e.Type == snapshot.EntryTypeFile && end != e.FileSize {
		return fmt.Errorf("pieces have %d bytes of %d", end, e.FileSize)
	}
	return nil
}

// index visits the contents that hold the index of an object of several pieces.
func (w *pointWalk) index(ctx context.Context, id object.ID) error {
	index, ok := id.IndexObjectID()
	if !ok {
		return nil
	}
	ids, err := w.vf.c.backing(ctx, index, false)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.visit(ctx, w.id, id); err != nil {
			return err
		}
	}
	return nil
}
