package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
)

// Release removes every snapshot of ours that no later run builds on: those that the sealed point has superseded, those of
// failed captures and of killed runs. The snapshot of the newest good copy of each chosen image stays, but not on the disk of
// a server that was deleted.
func (s *Source) Release(ctx context.Context, sealed *point.Point, note func(string)) error {
	needed := s.needed(sealed)
	s.letGo(ctx, needed, note)
	all, errs := s.made(ctx)
	for _, err := range errs {
		note(err.Error())
	}
	for _, i := range s.held {
		if i.ours {
			all = append(all, made{i.pool, i.Name, i.ID, i.snapshot.Name})
		}
	}
	return s.remove(ctx, slices.DeleteFunc(all, func(m made) bool { return needed[held{m.imageID, m.snapshot}] }))
}

// made finds every snapshot of ours in the planned pools and their trash. A trash that cannot be looked through comes as an
// error beside what was found.
func (s *Source) made(ctx context.Context) (all []made, errs []error) {
	trashed := make([][]made, len(s.planned))
	failed := make([]error, len(s.planned))
	each(len(s.planned), func(n int) {
		p := &s.planned[n]
		if trashed[n], failed[n] = s.trashed(ctx, p); failed[n] != nil {
			failed[n] = fmt.Errorf("the trash of pool %s could not be looked through: %w", p.Name, failed[n])
		}
	})
	for n := range s.planned {
		p := &s.planned[n]
		for _, img := range p.images {
			for _, snap := range img.Snapshots {
				if s.marker.ours(snap.Name) {
					all = append(all, made{p, img.Name, img.ID, snap.Name})
				}
			}
		}
	}
	return append(all, slices.Concat(trashed...)...), slices.DeleteFunc(failed, func(err error) bool { return err == nil })
}

// held names a snapshot of an image by the image's id.
type held struct{ image, snapshot string }

// made is a snapshot that was made for this vault.
type made struct {
	pool                     *pool
	image, imageID, snapshot string // image is "" in the trash
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
func (s *Source) trashed(ctx context.Context, p *pool) ([]made, error) {
	if p.lost != nil {
		return nil, p.lost
	}
	var gone []made
	for _, t := range p.trash {
		snaps, err := p.cluster.Snapshots(ctx, p.Name, t.ID)
		if cephcmd.IsNotFound(err) {
			continue
		}
		if err != nil {
			return gone, err
		}
		for _, snap := range snaps {
			if s.marker.ours(snap.Name) {
				gone = append(gone, made{p, "", t.ID, snap.Name})
			}
		}
	}
	return gone, nil
}

func (s *Source) remove(ctx context.Context, gone []made) error {
	var mu sync.Mutex
	var errs []error
	each(len(gone), func(n int) {
		d := gone[n]
		if err := d.pool.cluster.Unsnap(ctx, d.pool.Name, d.imageID, d.snapshot); err != nil {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}
