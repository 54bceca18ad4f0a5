package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
)

// Undelete turns back what somebody did in a bucket otherwise than the vault itself, and returns the blobs: what was deleted is there
// again, and what was written over holds again what it held.
func Undelete(ctx context.Context, loc Location, pass secret.Secret, opts OpenOptions) (back []Kept, err error) {
	b, err := bucketOf(ctx, loc)
	if err != nil {
		return nil, err
	}
	formats, err := hiddenFormats(ctx, b)
	for _, k := range formats {
		err = errors.Join(err, b.Unhide(ctx, k))
	}
	if err != nil {
		return nil, problem.Wrap(err, "take back what was deleted in", loc.URL)
	}
	v, err := Open(ctx, loc, pass, OpenOptions{Cloud: opts.Cloud}) // a cache would bring back what was damaged
	if err != nil {
		return formats, err
	}
	rest, err := v.undelete(ctx, b)
	if err = errors.Join(err, v.Close(context.WithoutCancel(ctx))); err != nil {
		return formats, problem.Wrap(err, "take back what was deleted in", loc.URL)
	}
	return append(formats, rest...), nil
}

// undelete turns each back before it looks for the next.
func (v *Vault) undelete(ctx context.Context, b *s3.Bucket) (back []Kept, err error) {
	for _, look := range v.looks() {
		t, err := look(ctx, b)
		if err != nil {
			return back, err
		}
		if err := v.dropForged(ctx, b, t.Forged); err != nil {
			return back, err
		}
		for _, k := range slices.Concat(t.Deleted, t.Over) {
			if err := v.takeBack(ctx, b, k); err != nil {
				return back, err
			}
		}
		if err := v.repo.Refresh(ctx); err != nil {
			return back, fmt.Errorf("refresh: %w", err)
		}
		back = append(back, t.All()...)
	}
	return back, nil
}

// dropForged has indexes of which one may be a copy stand for no others, and names again what is not named without them.
func (v *Vault) dropForged(ctx context.Context, b *s3.Bucket, forged []Kept) error {
	if len(forged) == 0 {
		return nil
	}
	lease, err := v.Own(ctx, "undelete", false)
	if err != nil {
		return err
	}
	defer lease.Release()
	for _, k := range forged {
		ours, err := v.original(lease.Context(), b, k)
		if err == nil {
			err = v.putAgain(lease.Context(), b, harmlessName(k.ID), ours)
		}
		if err == nil {
			err = v.store.DeleteBlob(lease.Context(), k.ID)
		}
		if err != nil {
			return fmt.Errorf("rename index %s: %w", k.ID, lease.failure(err))
		}
	}
	_, _, err = v.nameAgain(lease.Context(), true)
	return lease.failure(err)
}

// takeBack has a blob be there and hold what it held. What it held before others wrote is stored once more, on top of theirs.
func (v *Vault) takeBack(ctx context.Context, b *s3.Bucket, k Kept) error {
	ours, err := v.original(ctx, b, k)
	if err != nil {
		return err
	}
	same, err := b.Same(ctx, k.Data[0], ours)
	switch {
	case err != nil:
		return err
	case same:
		return b.Unhide(ctx, k)
	}
	return v.putAgain(ctx, b, k.ID, ours)
}

// putAgain stores what a version holds.
func (v *Vault) putAgain(ctx context.Context, b *s3.Bucket, id blob.ID, from s3.Version) error {
	var data outputBuffer
	if err := b.GetVersion(ctx, from, &data); err != nil {
		return err
	}
	var o blob.PutOptions
	if lock := v.store.lock; lock.Period > 0 {
		o.RetentionMode, o.RetentionPeriod = lock.mode(), lock.Period
	}
	if err := v.store.PutBlob(ctx, id, ownBytes(data.Bytes()), o); err != nil {
		return fmt.Errorf("write blob %s again: %w", id, err)
	}
	return nil
}

// original is the version of a blob that is the vault's own: of what is written once the first, or, as can be told of an index, one that
// is whole.
func (v *Vault) original(ctx context.Context, b *s3.Bucket, k Kept) (s3.Version, error) {
	switch {
	case namesContents(k.ID):
		n, err := v.soundVersion(ctx, b, k)
		return k.Data[max(n, 0)], err
	case writtenOnce(k.ID):
		return k.Data[len(k.Data)-1], nil
	}
	return k.Data[0], nil
}
