package backup

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// earlier is what earlier points and checkpoints hold, read once for all components of a run that build on them.
type earlier struct {
	vault *vault.Vault

	mu          sync.Mutex
	points      map[string]point.Point  // by id
	checkpoints map[string][]Checkpoint // by source
	trees       map[string]*vault.FS    // by point and source
}

// copy finds the good copy of a task's component in the task's parent, which is a point or a run that was killed.
func (e *earlier) copy(ctx context.Context, t source.Task) (point.Component, vault.Entry, error) {
	c, fsys, err := e.tree(ctx, t)
	if err != nil {
		return c, vault.Entry{}, err
	}
	entry, err := fsys.Entry(c.Path)
	return c, entry, err
}

// tree returns the good copy of a task's component, and what holds it.
func (e *earlier) tree(ctx context.Context, t source.Task) (point.Component, *vault.FS, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.points == nil {
		if err := e.load(ctx); err != nil {
			return point.Component{}, nil, err
		}
	}
	p, sealed := e.points[t.Parent]
	if c, ok := p.Component(t.Source, t.Name); ok && c.State == point.Good {
		fsys, err := e.open(ctx, t.Parent, t.Source)
		return c, fsys, err
	}
	left, err := e.left(ctx, t.Source)
	if err != nil {
		return point.Component{}, nil, err
	}
	for _, k := range left {
		if c, ok := k.component(t.Name); ok && k.Run == t.Parent {
			return c, k.tree, nil
		}
	}
	if sealed {
		return point.Component{}, nil, fmt.Errorf("point %s holds no good %s to build on", t.Parent, t.Name)
	}
	return point.Component{}, nil, fmt.Errorf("there is no point %s to build on", t.Parent)
}

// open returns what a point holds of a source.
func (e *earlier) open(ctx context.Context, id, source string) (*vault.FS, error) {
	if fsys, ok := e.trees[id+"/"+source]; ok {
		return fsys, nil
	}
	fsys, err := e.vault.FS(ctx, id, source)
	if err == nil {
		e.trees[id+"/"+source] = fsys
	}
	return fsys, err
}

func (e *earlier) load(ctx context.Context) error {
	all, err := e.vault.Points(ctx)
	if err != nil {
		return err
	}
	e.points, e.trees, e.checkpoints = map[string]point.Point{}, map[string]*vault.FS{}, map[string][]Checkpoint{}
	for _, p := range all {
		e.points[p.ID] = p
	}
	return nil
}

// left returns the checkpoints of a source as they were when they were first asked for.
func (e *earlier) left(ctx context.Context, source string) ([]Checkpoint, error) {
	if all, ok := e.checkpoints[source]; ok {
		return all, nil
	}
	all, err := Checkpoints(ctx, e.vault, source)
	if err == nil {
		e.checkpoints[source] = all
	}
	return all, err
}
