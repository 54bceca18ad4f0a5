package vault

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// drillBlobs are results of drills, one each. They stay when their points go: when something was last proven is worth knowing
// for longer than the copy it was proven by.
const drillBlobs blob.ID = "holdfast.drill."

const (
	mostDrills = 100 // that are kept; the oldest go first
	readDrills = 16  // at once
)

// drillName tells nothing of the drill to those who do not have the vault's secret.
func (v *Vault) drillName(id string) (blob.ID, error) {
	key, err := v.ownKey("drills")
	if err != nil {
		return "", fmt.Errorf("name drill %s: %w", id, err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id))
	return drillBlobs + blob.ID(hex.EncodeToString(mac.Sum(nil)[:16])), nil
}

// KeepDrill keeps the result of a drill in the vault, and lets the oldest go where there are many.
func (v *Vault) KeepDrill(ctx context.Context, d point.Drill) error {
	name, err := v.drillName(d.ID)
	if err == nil {
		err = v.keep(ctx, name, d)
	}
	if err == nil {
		err = v.dropOldDrills(ctx, mostDrills)
	}
	if err != nil {
		return problem.Wrap(err, "keep drill "+d.ID+" in vault", v.loc.URL)
	}
	return nil
}

// dropOldDrills leaves so many.
func (v *Vault) dropOldDrills(ctx context.Context, most int) error {
	names, err := v.keptNames(ctx, drillBlobs)
	if err != nil || len(names) <= most {
		return err
	}
	all, err := v.Drills(ctx)
	if err != nil {
		return err
	}
	for _, d := range all[:max(0, len(all)-most)] {
		name, err := v.drillName(d.ID)
		if err == nil {
			err = v.drop(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Drills returns the results of drills that the vault keeps, oldest first. One that cannot be read proves nothing, and is left out.
func (v *Vault) Drills(ctx context.Context) ([]point.Drill, error) {
	names, err := v.keptNames(ctx, drillBlobs)
	if err != nil {
		return nil, problem.Wrap(err, "list drills of vault", v.loc.URL)
	}
	read := make([]*point.Drill, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readDrills)
	for i, name := range names {
		g.Go(func() error {
			var d point.Drill
			if err := v.kept(gctx, name, &d); err == nil {
				read[i] = &d
			} else if !errors.Is(err, blob.ErrBlobNotFound) {
				return gctx.Err()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, problem.Wrap(err, "read drills of vault", v.loc.URL)
	}
	var all []point.Drill
	for _, d := range read {
		if d != nil {
			all = append(all, *d)
		}
	}
	slices.SortFunc(all, func(a, b point.Drill) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}
