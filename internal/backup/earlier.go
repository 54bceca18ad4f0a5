package backup

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// earlier is what earlier points hold, read once for all components of a run that build on them.
type earlier struct {
	vault *vault.Vault

	mu     sync.Mutex
	points map[string]point.Point // by id
	trees  map[string]*vault.FS   // by point and source
}

// copy finds the good copy of a task's component in the task's parent.
func (e *earlier) copy(ctx context.Context, t source.Task) (point.Component, vault.Entry, error) {
	p, fsys, err := e.tree(ctx, t.Parent, t.Source)
	if err != nil {
		return point.Component{}, vault.Entry{}, err
	}
	c, ok := p.Component(t.Source, t.Name)
	if !ok || c.State != point.Good {
		return c, vault.Entry{}, fmt.Errorf("point %s holds no good %s to build on", p.ID, t.Name)
	}
	entry, err := fsys.Entry(c.Path)
	return c, entry, err
}

// tree returns a point and what it holds of a source.
func (e *earlier) tree(ctx context.Context, id, source string) (point.Point, *vault.FS, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.points == nil {
		if err := e.load(ctx); err != nil {
			return point.Point{}, nil, err
		}
	}
	p, ok := e.points[id]
	if !ok {
		return p, nil, fmt.Errorf("there is no point %s to build on", id)
	}
	if fsys, ok := e.trees[id+"/"+source]; ok {
		return p, fsys, nil
	}
	fsys, err := e.vault.FS(ctx, id, source)
	if err == nil {
		e.trees[id+"/"+source] = fsys
	}
	return p, fsys, err
}

func (e *earlier) load(ctx context.Context) error {
	all, err := e.vault.Points(ctx)
	if err != nil {
		return err
	}
	e.points, e.trees = map[string]point.Point{}, map[string]*vault.FS{}
	for _, p := range all {
		e.points[p.ID] = p
	}
	return nil
}
