package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/point"
)

// record is a sealed point's own copy of what says what it is. kopia gathers the snapshots of all points into few
// contents, so that one lost pack would hide every point; a record is a blob of one point alone.
type record struct {
	Point     point.Point          `json:"point"`
	Sources   []Source             `json:"sources"`
	Snapshots []*snapshot.Manifest `json:"snapshots"` // of the sources, and last the one that seals the point
}

// recordName tells nothing of the point to those who do not have the vault's secret.
func (v *Vault) recordName(pointID string) (blob.ID, error) {
	key, err := v.ownKey("names")
	if err != nil {
		return "", fmt.Errorf("name record of point %s: %w", pointID, err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(pointID))
	return recordBlobs + blob.ID(hex.EncodeToString(mac.Sum(nil)[:16])), nil
}

func (v *Vault) keepRecord(ctx context.Context, r record) error {
	name, err := v.recordName(r.Point.ID)
	if err != nil {
		return err
	}
	return v.keep(ctx, name, r)
}

func (v *Vault) record(ctx context.Context, pointID string) (r record, err error) {
	name, err := v.recordName(pointID)
	if err != nil {
		return r, err
	}
	err = v.kept(ctx, name, &r)
	return r, err
}

// dropRecord makes a point one that never was, where kopia cannot tell.
func (v *Vault) dropRecord(ctx context.Context, pointID string) error {
	name, err := v.recordName(pointID)
	if err != nil {
		return err
	}
	return v.drop(ctx, name)
}

// records returns the records of all points, or of one. What cannot be read is left out.
func (v *Vault) records(ctx context.Context, pointID string) ([]record, error) {
	if pointID != "" {
		r, err := v.record(ctx, pointID)
		if err != nil {
			return nil, ctx.Err()
		}
		return []record{r}, nil
	}
	names, err := v.keptNames(ctx, recordBlobs)
	if err != nil {
		return nil, err
	}
	var found []record
	for _, name := range names {
		var r record
		if v.kept(ctx, name, &r) == nil {
			found = append(found, r)
		}
	}
	return found, ctx.Err()
}
