package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// removalBlobs name the points that are on their way out, so that what a kill leaves of them is finished by the next owner and
// taken for damage by nobody.
const removalBlobs blob.ID = "holdfast.removal."

// announceRemoval says which points are about to go, until done is called.
func (v *Vault) announceRemoval(ctx context.Context, points []string) (done func() error, err error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	name := removalBlobs + blob.ID(hex.EncodeToString(id[:]))
	if err := v.keep(ctx, name, points); err != nil {
		return nil, err
	}
	return func() error { return v.drop(ctx, name) }, nil
}

// removals returns what was announced and not done, by the name of its blob. What cannot be read stays announced: its points show
// as what they are.
func (v *Vault) removals(ctx context.Context) (map[blob.ID][]string, error) {
	names, err := v.keptNames(ctx, removalBlobs)
	if err != nil {
		return nil, err
	}
	begun := map[blob.ID][]string{}
	for _, name := range names {
		var points []string
		if v.kept(ctx, name, &points) == nil {
			begun[name] = points
		}
	}
	return begun, ctx.Err()
}

// leaving reports whether the removal of a point has begun and not ended.
func (v *Vault) leaving(ctx context.Context, pointID string) bool {
	begun, err := v.removals(ctx)
	if err != nil {
		return false
	}
	for _, points := range begun {
		if slices.Contains(points, pointID) {
			return true
		}
	}
	return false
}

// Leaving returns the points whose removal was cut off once it could not be taken back: the next owner ends it before anything else.
func (v *Vault) Leaving(ctx context.Context) ([]string, error) {
	begun, err := v.removals(ctx)
	if err == nil {
		var gone []string
		if gone, err = v.unrecorded(ctx, slices.Concat(slices.Collect(maps.Values(begun))...)); err == nil {
			return gone, nil
		}
	}
	return nil, problem.Wrap(err, "list removals of vault", v.loc.URL)
}

// finishRemovals does the rest of what owners who died had begun to remove. A point that has its record yet is whole, and stays: what
// spoke for its removal may be so no more, and the next prune decides.
func (l *Lease) finishRemovals() error {
	begun, err := l.v.removals(l.ctx)
	if err != nil || len(begun) == 0 {
		return err
	}
	snaps, lost, err := l.v.list(l.ctx, map[string]string{tagSource: pointPath})
	if err != nil || lost != nil {
		return err // nothing is removed where not everything can be listed
	}
	listed := map[string]bool{}
	for _, m := range snaps {
		listed[m.Tags[tagPoint]] = true
	}
	for name, points := range begun {
		points, err := l.v.unrecorded(l.ctx, slices.DeleteFunc(points, func(id string) bool { return !listed[id] }))
		if err != nil {
			return err
		}
		r, err := l.v.planRemoval(l.ctx, points)
		if err != nil {
			return l.ctx.Err() // what may not be removed now stays announced
		}
		if err := l.v.carryOut(l.ctx, r); err != nil {
			return err
		}
		if err := l.v.drop(l.ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// unrecorded are those of points whose record is gone, which is the first thing that a removal takes.
func (v *Vault) unrecorded(ctx context.Context, points []string) (gone []string, err error) {
	for _, id := range points {
		name, err := v.recordName(id)
		if err != nil {
			return nil, err
		}
		switch _, err := v.store.GetMetadata(ctx, name); {
		case errors.Is(err, blob.ErrBlobNotFound):
			gone = append(gone, id)
		case err != nil:
			return nil, err
		}
	}
	return gone, nil
}
