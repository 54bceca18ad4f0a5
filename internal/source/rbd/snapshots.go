package rbd

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/rows"
)

// Snapshot is a snapshot that was made for this vault.
type Snapshot struct {
	Image    string `json:"image"` // POOL/NAME; POOL/ and the id for one in the trash
	Snapshot string `json:"snapshot"`
	// Needed says what the snapshot is there for; "" for one that no run needs any more.
	Needed string `json:"needed"`
	// Orphan says why the image is wanted by nobody, "" when that is not so or not known.
	Orphan string `json:"orphan"`

	made made
}

// Snapshots lists what was made for this vault in the configured pools. With orphans it asks the databases which disks and
// volumes are of servers and volumes that were deleted.
func (s *Source) Snapshots(ctx context.Context, orphans bool) ([]Snapshot, error) {
	if _, err := s.Plan(ctx); err != nil {
		return nil, err
	}
	var facts *rows.Facts
	if orphans && s.Choose.Rows != nil {
		var err error
		if facts, err = s.Choose.Rows(ctx, rows.Need{Volumes: true, Servers: true}); err != nil {
			return nil, fmt.Errorf("ask which servers and volumes were deleted: %w", err)
		}
	}
	all, errs := s.made(ctx)
	needed := s.needed(nil)
	list := []Snapshot{}
	for _, m := range all {
		out := Snapshot{Image: m.pool.cluster.Prefix + m.pool.Name + "/" + m.image, Snapshot: m.snapshot, made: m}
		if m.image == "" {
			out.Image += m.imageID
		}
		if i := s.held[out.Image]; i != nil && needed[held{m.imageID, m.snapshot}] {
			out.Needed = "the next difference to " + i.copy.From()
			out.Orphan = orphan(i, facts)
		}
		list = append(list, out)
	}
	return list, errors.Join(errs...)
}

// orphan says why nobody wants an image any more, as the databases have it.
func orphan(i *image, facts *rows.Facts) string {
	if facts == nil {
		return ""
	}
	switch kind, id := i.kind(); kind {
	case aDisk:
		return gone("server", id, facts.Servers[id].ID != "", facts.Servers[id].Deleted, facts.Live)
	case aVolume:
		return gone("volume", id, facts.Volumes[id].ID != "", facts.Volumes[id].Deleted, facts.Live)
	}
	return ""
}

func gone(what, id string, known, deleted, live bool) string {
	switch {
	case deleted:
		return fmt.Sprintf("%s %s was deleted", what, id)
	case !known && live:
		return fmt.Sprintf("no database knows %s %s", what, id)
	}
	return ""
}

// Remove removes snapshots. One that must stay for a while is an error.
func (s *Source) Remove(ctx context.Context, list []Snapshot) error {
	var all []made
	for _, k := range list {
		all = append(all, k.made)
	}
	left, err := s.remove(ctx, all)
	if len(left) > 0 {
		err = errors.Join(err, problem.New(problem.Failed, "bring the migration to its end, and then run this again",
			"%d snapshots stay, such as %s of %s/%s: %s", len(left), left[0].snapshot, left[0].pool.Name, left[0].image, whileMoving))
	}
	return err
}
