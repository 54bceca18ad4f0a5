package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
)

// Hidden are blobs that somebody deleted and a bucket keeps.
type Hidden = s3.Hidden

// bucketOf opens the bucket of a location alone.
func bucketOf(ctx context.Context, loc Location) (*s3.Bucket, error) {
	if loc.scheme() != "s3" {
		return nil, problem.New(problem.Usage, "name a tier in a bucket", "tier %s: only a bucket keeps what is deleted", loc.Tier)
	}
	o, err := loc.s3Options()
	if err != nil {
		return nil, err
	}
	b, err := s3.Open(ctx, o)
	if err != nil {
		return nil, loc.unreachable("check the tier's url and s3: in holdfast.yml", err)
	}
	return b, nil
}

// HiddenRoots returns what was deleted of that without which a vault does not open, or not whole: its format and its indexes.
// The vault's own maintenance deletes indexes too, whose place another one has taken; those are left out.
func HiddenRoots(ctx context.Context, loc Location) ([]Hidden, error) {
	b, err := bucketOf(ctx, loc)
	if err != nil {
		return nil, err
	}
	return hiddenRoots(ctx, b)
}

func hiddenRoots(ctx context.Context, b *s3.Bucket) (roots []Hidden, err error) {
	var all []Hidden
	for _, prefix := range []blob.ID{"kopia.", ownFormat, lockBlob, "x"} {
		some, err := b.Hidden(ctx, prefix)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	var indexes []blob.ID
	err = b.ListBlobs(ctx, "x", func(m blob.Metadata) error {
		indexes = append(indexes, m.BlobID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	present := len(indexes)
	for _, h := range all {
		if strings.HasPrefix(string(h.ID), "x") {
			indexes = append(indexes, h.ID)
		}
	}
	for _, h := range all {
		if !strings.HasPrefix(string(h.ID), "x") || !replaced(h.ID, indexes, present) {
			roots = append(roots, h)
		}
	}
	return roots, nil
}

// replaced reports whether the vault itself may have deleted an index: one of the same or more epochs stands for it, or, of marks
// that only count, a later one is present. The first so many indexes are present.
func replaced(id blob.ID, indexes []blob.ID, present int) bool {
	kind, from, to := epochs(id)
	return slices.ContainsFunc(indexes, func(other blob.ID) bool {
		k, first, last := epochs(other)
		switch {
		case other == id:
			return false
		case kind == 'e' || kind == 'w':
			return k == kind && first > from && slices.Contains(indexes[:present], other)
		case kind == 'n':
			return (k == 's' || k == 'r') && first <= from && to <= last
		default:
			return k == 'r' && first <= from && to <= last && (kind == 's' || last-first > to-from)
		}
	})
}

// epochs tells from the name of an index which kind it is and which epochs of the vault it covers.
func epochs(id blob.ID) (kind byte, from, to int) {
	if len(id) < 2 {
		return 0, 0, 0
	}
	numbers := strings.Split(string(id[2:]), "_")
	_, _ = fmt.Sscan(numbers[0], &from)
	if to = from; id[1] == 'r' && len(numbers) > 1 {
		_, _ = fmt.Sscan(numbers[1], &to)
	}
	return id[1], from, to
}

// deleted reports whether the bucket keeps a format blob that was deleted.
func (v *Vault) deleted(ctx context.Context) bool {
	b, ok := v.bucket()
	if !ok {
		return false
	}
	hidden, err := b.Hidden(ctx, "kopia.repository")
	return err == nil && len(hidden) > 0
}

// HiddenPacks returns the packs that were deleted although the vault's indexes name them.
func (v *Vault) HiddenPacks(ctx context.Context) (packs []Hidden, err error) {
	b, ok := v.bucket()
	if !ok {
		return nil, nil
	}
	var all []Hidden
	for _, prefix := range content.PackBlobIDPrefixes {
		some, err := b.Hidden(ctx, prefix)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	named := map[blob.ID]bool{}
	err = v.repo.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		named[i.PackBlobID] = true
		return nil
	})
	for _, h := range all {
		if named[h.ID] {
			packs = append(packs, h)
		}
	}
	return packs, err
}

// HiddenRecords returns the records that were deleted of points which the vault lists.
func (v *Vault) HiddenRecords(ctx context.Context) (records []Hidden, err error) {
	b, ok := v.bucket()
	if !ok {
		return nil, nil
	}
	all, err := b.Hidden(ctx, recordBlobs)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	snaps, _, err := v.list(ctx, map[string]string{tagSource: pointPath})
	if err != nil {
		return nil, err
	}
	listed := map[blob.ID]bool{}
	for _, m := range snaps {
		name, err := v.recordName(m.Tags[tagPoint])
		if err != nil {
			return nil, err
		}
		listed[name] = true
	}
	return slices.DeleteFunc(all, func(h Hidden) bool { return !listed[h.ID] }), nil
}

// HiddenHolds returns the holds that were deleted without having been released.
func (v *Vault) HiddenHolds(ctx context.Context) (holds []Hidden, err error) {
	b, ok := v.bucket()
	if !ok {
		return nil, nil
	}
	all, err := b.Hidden(ctx, holdBlobs)
	for _, one := range all {
		var data outputBuffer
		if err := b.GetHidden(ctx, one, &data); err != nil {
			return nil, err
		}
		var h held
		if err := v.unseal(one.ID, data.Bytes(), &h); err != nil || !h.Released {
			holds = append(holds, one)
		}
	}
	return holds, err
}

// refuseLostHolds is an error while somebody has deleted holds: nobody may remove what they held.
func (v *Vault) refuseLostHolds(ctx context.Context) error {
	if v.store.lock.Period == 0 { // nothing says that the bucket keeps versions, or that they may be listed
		return nil
	}
	holds, err := v.HiddenHolds(ctx)
	if err != nil || len(holds) == 0 {
		return err
	}
	return problem.New(problem.Failed, "holdfast undelete "+v.loc.Tier+" takes them back", "somebody deleted %d holds in the bucket, the last on %s: nothing is removed that they may have kept",
		len(holds), holds[len(holds)-1].At.UTC().Format(time.RFC3339))
}

// Undelete takes back what was deleted in a bucket otherwise than by the vault itself, and returns it.
func Undelete(ctx context.Context, loc Location, pass secret.Secret, opts OpenOptions) (back []Hidden, err error) {
	b, err := bucketOf(ctx, loc)
	if err != nil {
		return nil, err
	}
	roots, err := hiddenRoots(ctx, b)
	if err == nil {
		err = unhide(ctx, b, roots)
	}
	if err != nil {
		return nil, problem.Wrap(err, "take back what was deleted in", loc.URL)
	}
	v, err := Open(ctx, loc, pass, opts)
	if err != nil {
		return roots, err
	}
	rest, err := v.unhide(ctx, b)
	if err = errors.Join(err, v.Close(context.WithoutCancel(ctx))); err != nil {
		return roots, problem.Wrap(err, "take back what was deleted in", loc.URL)
	}
	return append(roots, rest...), nil
}

// hidden finds the packs, then the records of the points that are listed in them, and the holds.
func (v *Vault) hidden() []func(context.Context) ([]Hidden, error) {
	return []func(context.Context) ([]Hidden, error){v.HiddenPacks, v.HiddenRecords, v.HiddenHolds}
}

// unhide takes each back before it looks for the next.
func (v *Vault) unhide(ctx context.Context, b *s3.Bucket) (back []Hidden, err error) {
	for _, hidden := range v.hidden() {
		some, err := hidden(ctx)
		if err == nil {
			err = unhide(ctx, b, some)
		}
		if err != nil {
			return back, err
		}
		back = append(back, some...)
	}
	return back, nil
}

func unhide(ctx context.Context, b *s3.Bucket, all []Hidden) error {
	for _, h := range all {
		if err := b.Unhide(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// Probe tries to remove a locked object with the keys that backups use.
func (v *Vault) Probe(ctx context.Context) (p s3.Probe, err error) {
	b, ok := v.bucket()
	i, err := v.Immutable(ctx)
	if err != nil || !ok || i.Period == 0 {
		return p, err
	}
	return b.Probe(ctx, i.mode())
}
