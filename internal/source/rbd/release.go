package rbd

import (
	"context"
	"errors"
	"slices"
	"sync"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
)

// Release removes every snapshot of ours that no later run builds on: those that the sealed point has superseded, those of
// failed captures and of killed runs. The snapshot of the newest good copy of each chosen image stays.
func (s *Source) Release(ctx context.Context, sealed *point.Point, note func(string)) error {
	needed := s.needed(sealed)
	var gone []doomed
	trashed := make([][]doomed, len(s.planned))
	each(len(s.planned), func(n int) {
		p := &s.planned[n]
		var err error
		if trashed[n], err = s.trashed(ctx, p); err != nil {
			note("the trash of pool " + p.Name + " could not be looked through: " + err.Error())
		}
	})
	gone = slices.Concat(trashed...)
	for n := range s.planned {
		p := &s.planned[n]
		for _, img := range p.images {
			for _, snap := range img.Snapshots {
				if s.marker.ours(snap.Name) && !needed[held{img.ID, snap.Name}] {
					gone = append(gone, doomed{p, img.ID, snap.Name})
				}
			}
		}
	}
	for _, i := range s.held {
		if i.ours && !needed[held{i.ID, i.snapshot.Name}] {
			gone = append(gone, doomed{i.pool, i.ID, i.snapshot.Name})
		}
	}
	return s.remove(ctx, gone)
}

// held names a snapshot of an image by the image's id.
type held struct{ image, snapshot string }

// doomed is a snapshot to be removed.
type doomed struct {
	pool            *pool
	image, snapshot string
}

// needed are the snapshots that the newest good copies were read from.
func (s *Source) needed(sealed *point.Point) map[held]bool {
	needed := map[held]bool{}
	for name, i := range s.held {
		c, ok := point.Component{}, false
		if sealed != nil {
			c, ok = sealed.Component(SourceName, name)
		}
		if !ok || c.State != point.Good {
			if i.copy == nil {
				continue
			}
			c = i.copy.Component
		}
		if id, err := IdentityOf(c); err == nil {
			needed[held{id.ImageID, id.Snapshot}] = true
		}
	}
	return needed
}

// trashed finds our snapshots of images in the trash, which keep them from being purged.
func (s *Source) trashed(ctx context.Context, p *pool) ([]doomed, error) {
	images, err := p.cluster.Trash(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	var gone []doomed
	for _, t := range images {
		snaps, err := p.cluster.Snapshots(ctx, p.Name, t.ID)
		if cephcmd.IsNotFound(err) {
			continue
		}
		if err != nil {
			return gone, err
		}
		for _, snap := range snaps {
			if s.marker.ours(snap.Name) {
				gone = append(gone, doomed{p, t.ID, snap.Name})
			}
		}
	}
	return gone, nil
}

func (s *Source) remove(ctx context.Context, gone []doomed) error {
	var mu sync.Mutex
	var errs []error
	each(len(gone), func(n int) {
		d := gone[n]
		if err := d.pool.cluster.Unsnap(ctx, d.pool.Name, d.image, d.snapshot); err != nil {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}
