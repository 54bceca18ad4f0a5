package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/point"
)

// maintenanceBlob is where kopia notes when it maintained what.
const maintenanceBlob blob.ID = "kopia.maintenance"

// mendOwn writes anew what is damaged beside packs and indexes: records, holds, doubts, and the times of maintenance.
func (h *healer) mendOwn(ctx context.Context, vf *verifier) (progress bool, err error) {
	for id := range vf.badRecords {
		r, ok := h.recordOf(ctx, vf, id)
		if !ok {
			continue // what it is made from is damaged yet
		}
		if err := h.v.keepRecord(ctx, r); err != nil {
			return false, err
		}
		h.note("the record of point " + id + " was written anew")
		progress = true
	}
	for _, name := range vf.badHolds {
		if err := h.mendHold(ctx, vf, name); err != nil {
			return false, err
		}
		progress = true
	}
	if err := h.missingHolds(ctx, vf); err != nil {
		return false, err
	}
	if err := h.dropBadDoubts(ctx); err != nil {
		return false, err
	}
	return progress, h.mendSchedule(ctx)
}

// recordOf makes a point's record from what kopia keeps of the point.
func (h *healer) recordOf(ctx context.Context, vf *verifier, id string) (r record, ok bool) {
	var seal *snapshot.Manifest
	for i, m := range vf.snapshots {
		switch {
		case i.point != id || m.Tags[tagCheckpoint] != "":
		case m.Tags[tagSource] == pointPath:
			seal = m
		default:
			r.Snapshots = append(r.Snapshots, m)
		}
	}
	if seal == nil {
		return r, false
	}
	r.Snapshots = append(r.Snapshots, seal)
	for name, into := range map[string]any{manifestName: &r.Point, sourcesName: &r.Sources} {
		if guard(func() error { return h.v.loadJSON(ctx, seal, name, into) }) != nil {
			return r, false
		}
	}
	return r, true
}

// mendHold takes a hold from another vault. What no other one tells, who and why, is lost, but not the hold.
func (h *healer) mendHold(ctx context.Context, vf *verifier, name blob.ID) error {
	for _, o := range h.others {
		holds, _ := o.Holds(ctx) // one that cannot tell is no help
		for id, hold := range holds {
			if n, err := h.v.holdName(id); err != nil || n != name {
				continue
			}
			h.note("the hold of point " + id + " was taken from tier " + o.loc.Tier)
			return h.v.keep(ctx, name, held{Point: id, Hold: hold})
		}
	}
	for i := range vf.snapshots {
		if n, err := h.v.holdName(i.point); err != nil || n != name {
			continue
		}
		h.note("the hold of point " + i.point + " was kept; who wanted it and why is lost")
		return h.v.keep(ctx, name, held{Point: i.point, Hold: point.Hold{Reason: "its blob was damaged: who wanted it and why is lost", At: now().UTC()}})
	}
	h.note("the hold " + string(name) + " of a point that is not here was removed")
	return h.v.drop(ctx, name)
}

// missingHolds takes the holds from other vaults that stand in every tier and not in this one any more.
func (h *healer) missingHolds(ctx context.Context, vf *verifier) error {
	have, err := h.v.Holds(ctx)
	if err != nil {
		return ctx.Err() // one is damaged, which healing all points mends
	}
	for _, o := range h.others {
		holds, _ := o.Holds(ctx) // one that cannot tell is no help
		for id, hold := range holds {
			if _, ok := have[id]; ok || vf.each[id] == nil || !hold.Spreads(h.v.loc.Tier) {
				continue
			}
			if err := h.v.keepHold(ctx, id, hold); err != nil {
				return err
			}
			have[id] = hold
			h.note("point " + id + " is on hold again, as it is in tier " + o.loc.Tier)
		}
	}
	return nil
}

// dropBadDoubts removes what raises no doubt because it cannot be read.
func (h *healer) dropBadDoubts(ctx context.Context) error {
	names, err := h.v.keptNames(ctx, doubtBlobs)
	if err != nil {
		return err
	}
	for _, name := range names {
		var ids []any
		if err := h.v.kept(ctx, name, &ids); err == nil || ctx.Err() != nil || errors.Is(err, blob.ErrBlobNotFound) {
			continue
		}
		if err := h.v.drop(ctx, name); err != nil {
			return err
		}
		h.note("blob " + string(name) + ", which could not be read, was removed: read the vault in full to find again what it told of")
	}
	return nil
}

// mendSchedule forgets when maintenance was done, if that cannot be read: kopia then begins anew.
func (h *healer) mendSchedule(ctx context.Context) error {
	if _, err := maintenance.GetSchedule(ctx, h.v.repo); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	var data outputBuffer
	if err := h.v.store.GetBlob(ctx, maintenanceBlob, 0, -1, &data); err != nil {
		return fmt.Errorf("read blob %s: %w", maintenanceBlob, err)
	}
	if err := h.v.drop(ctx, maintenanceBlob); err != nil {
		return err
	}
	h.note("blob " + string(maintenanceBlob) + ", which could not be read, was removed: maintenance begins anew")
	return nil
}
