package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// holdBlobs keep points from being removed, one each.
const holdBlobs blob.ID = "holdfast.hold."

// held is what stands in the blob of a hold. One that is released says so before it goes, so that a bucket which keeps what is deleted
// tells it from one that somebody deleted.
type held struct {
	Point    string     `json:"point"`
	Hold     point.Hold `json:"hold"`
	Released bool       `json:"released,omitempty"`
}

// holdName tells nothing of the point to those who do not have the vault's secret.
func (v *Vault) holdName(pointID string) (blob.ID, error) {
	key, err := v.ownKey("holds")
	if err != nil {
		return "", fmt.Errorf("name hold of point %s: %w", pointID, err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(pointID))
	return holdBlobs + blob.ID(hex.EncodeToString(mac.Sum(nil)[:16])), nil
}

// Hold keeps a point from being removed by anybody until it is released. It takes the place of an earlier hold.
func (v *Vault) Hold(ctx context.Context, pointID string, h point.Hold) error {
	if _, err := v.sealed(ctx, pointID); err != nil {
		return problem.Wrap(err, "hold point", pointID)
	}
	err := v.keepHold(ctx, pointID, h)
	if err == nil { // a removal that began after this sees the hold
		err = v.refuseRemover(ctx)
	}
	if err != nil {
		return problem.Wrap(err, "hold point", pointID)
	}
	return nil
}

func (v *Vault) keepHold(ctx context.Context, pointID string, h point.Hold) error {
	name, err := v.holdName(pointID)
	if err != nil {
		return err
	}
	return v.keep(ctx, name, held{Point: pointID, Hold: h})
}

// Release ends the hold of a point. One that is not held is a problem of kind NotFound.
func (v *Vault) Release(ctx context.Context, pointID string) error {
	name, err := v.holdName(pointID)
	if err != nil {
		return problem.Wrap(err, "release point", pointID)
	}
	var h held
	if err := v.kept(ctx, name, &h); errors.Is(err, blob.ErrBlobNotFound) || err == nil && h.Released {
		return problem.New(problem.NotFound, "holdfast points tells which are on hold", "point %s is not on hold in vault %s", pointID, v.loc.URL)
	}
	h.Point, h.Released = pointID, true // one that cannot be read is released too
	if err = v.keep(ctx, name, h); err == nil {
		err = v.drop(ctx, name)
	}
	if err == nil {
		err = v.store.sync()
	}
	if err != nil {
		return problem.Wrap(err, "release point", pointID)
	}
	return nil
}

// Holds returns the holds by point. One that cannot be read is an error, since nobody can tell any more what it holds.
func (v *Vault) Holds(ctx context.Context) (map[string]point.Hold, error) {
	names, err := v.keptNames(ctx, holdBlobs)
	if err != nil {
		return nil, problem.Wrap(err, "list holds of vault", v.loc.URL)
	}
	all := map[string]point.Hold{}
	for _, name := range names {
		var h held
		err := v.kept(ctx, name, &h)
		if errors.Is(err, blob.ErrBlobNotFound) {
			continue // released meanwhile
		}
		if err != nil {
			return nil, &problem.Error{
				Kind: problem.Damage, Op: "list holds of vault", Target: v.loc.URL, Cause: err,
				Hint: fmt.Sprintf("put the blob back from another copy of the vault; or remove it and hold its point anew: blob %s", name),
			}
		}
		if !h.Released {
			all[h.Point] = h.Hold
		}
	}
	return all, nil
}

// refuseHeld is an error while a point is on hold.
func (v *Vault) refuseHeld(ctx context.Context, pointID string) error {
	name, err := v.holdName(pointID)
	if err != nil {
		return err
	}
	var h held
	if err := v.kept(ctx, name, &h); errors.Is(err, blob.ErrBlobNotFound) || err == nil && h.Released {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return problem.New(problem.Failed, "holdfast points release "+pointID+" ends the hold", "it is on hold")
}
