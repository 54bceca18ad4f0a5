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
	left, err := s.remove(ctx, slices.DeleteFunc(all, func(m made) bool { return needed[held{m.imageID, m.snapshot}] }))
	for _, m := range left {
		note(fmt.Sprintf("%s/%s keeps snapshot %s: %s", m.pool.Name, m.image, m.snapshot, whileMoving))
	}
	return err
}

// whileMoving is why a snapshot stays for a while that nothing needs.
const whileMoving = "rbd migration moves the image and needs what came with it; a run after rbd migration commit removes it"

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

// remove removes snapshots, and returns those that it leaves for now: of an image that rbd migration moves, the ones that came with it.
// Without one of them librbd ends in a failed assertion (16.2) when the migration is executed, and it never comes to its end.
func (s *Source) remove(ctx context.Context, gone []made) (left []made, err error) {
	var mu sync.Mutex
	var errs []error
	own := s.own()
	each(len(gone), func(n int) {
		d := gone[n]
		moving, err := false, error(nil)
		if !own[held{d.imageID, d.snapshot}] {
			moving, err = d.moving(ctx)
		}
		if err == nil && !moving {
			err = d.pool.cluster.Unsnap(ctx, d.pool.Name, d.imageID, d.snapshot)
		}
		mu.Lock()
		defer mu.Unlock()
		if moving {
			left = append(left, d)
		}
		errs = append(errs, err)
	})
	return left, errors.Join(errs...)
}

// own are the snapshots that are known to have been made of the very image that has them, and did not come with it from another pool.
func (s *Source) own() map[held]bool {
	own := map[held]bool{}
	for _, i := range s.held {
		if i.ours {
			own[held{i.ID, i.snapshot.Name}] = true
		}
		if i.copy == nil {
			continue
		}
		if id, err := IdentityOf(i.copy.Component); err == nil {
			own[held{id.ImageID, id.Snapshot}] = true
		}
	}
	return own
}

// moving reports whether the image is one that rbd migration has not moved to its end.
func (m made) moving(ctx context.Context) (bool, error) {
	if m.image == "" {
		return false, nil // it lies in the trash
	}
	info, err := m.pool.cluster.Info(ctx, cephcmd.Spec{Pool: m.pool.Name, Image: m.image})
	if cephcmd.IsNotFound(err) {
		return false, nil
	}
	return info.Has("migrating"), err
}
