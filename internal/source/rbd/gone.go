package rbd

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/rows"
)

// letGo takes from what is needed the snapshots on disks whose servers were deleted meanwhile. Nova could not remove such a
// disk for our snapshot, and does not try again; nothing will be captured of it any more.
func (s *Source) letGo(ctx context.Context, needed map[held]bool, note func(string)) {
	disks := s.disks(needed)
	if !s.Servers || s.Choose.Rows == nil || len(disks) == 0 {
		return
	}
	facts, err := s.Choose.Rows(ctx, rows.Need{Servers: true})
	if err != nil {
		note(fmt.Sprintf("whether servers were deleted meanwhile is not known, so that the snapshots on their disks stay: %v", err))
		return
	}
	for _, d := range disks {
		if _, server := d.kind(); facts.Servers[server].Deleted {
			note(fmt.Sprintf("server %s was deleted: its disk %s keeps no snapshot of ours; if it is still there, remove it with rbd rm %s", server, d.component, d.spec()))
			for h := range needed {
				if h.image == d.ID {
					delete(needed, h)
				}
			}
		}
	}
}

// disks are Nova's that have a snapshot which is needed.
func (s *Source) disks(needed map[held]bool) (disks []*image) {
	for h := range needed {
		for _, i := range s.held {
			if k, _ := i.kind(); k == aDisk && i.ID == h.image && !slices.Contains(disks, i) {
				disks = append(disks, i)
			}
		}
	}
	return disks
}
