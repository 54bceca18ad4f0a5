package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
)

// Kept is a blob of which a bucket keeps versions.
type Kept = s3.Kept

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
func HiddenRoots(ctx context.Context, loc Location) ([]Kept, error) {
	b, err := bucketOf(ctx, loc)
	if err != nil {
		return nil, err
	}
	return hiddenRoots(ctx, b)
}

func hiddenRoots(ctx context.Context, b *s3.Bucket) (roots []Kept, err error) {
	formats, err := hiddenFormats(ctx, b)
	if err != nil {
		return nil, err
	}
	all, err := b.Kept(ctx, "x")
	if err != nil {
		return nil, err
	}
	indexes, hidden := splitHidden(all)
	return append(formats, notReplaced(hidden, idsOfKept(indexes), idsOfKept(hidden))...), nil
}

// hiddenFormats are the deleted blobs without which a vault does not open. When it was maintained is none, and begins anew.
func hiddenFormats(ctx context.Context, b *s3.Bucket) (formats []Kept, err error) {
	for _, prefix := range []blob.ID{"kopia.", ownFormat} {
		some, err := b.Hidden(ctx, prefix)
		if err != nil {
			return nil, err
		}
		formats = append(formats, some...)
	}
	return slices.DeleteFunc(formats, func(k Kept) bool { return k.ID == maintenanceBlob }), nil
}

func splitHidden(all []Kept) (present, hidden []Kept) {
	for _, k := range all {
		if k.Hidden {
			hidden = append(hidden, k)
		} else {
			present = append(present, k)
		}
	}
	return present, hidden
}

func idsOfKept(all []Kept) (ids []blob.ID) {
	for _, k := range all {
		ids = append(ids, k.ID)
	}
	return ids
}

// notReplaced are those of some deleted indexes that the vault itself has not deleted.
func notReplaced(hidden []Kept, present, deleted []blob.ID) []Kept {
	indexes := slices.Concat(present, deleted)
	return slices.DeleteFunc(slices.Clone(hidden), func(k Kept) bool { return replaced(k.ID, indexes, len(present)) })
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

// hiddenRecords returns the records that were deleted of points which the vault lists.
func (v *Vault) hiddenRecords(ctx context.Context, b *s3.Bucket) (t Tampered, err error) {
	all, err := b.Hidden(ctx, recordBlobs)
	if err != nil || len(all) == 0 {
		return t, err
	}
	snaps, _, err := v.list(ctx, map[string]string{tagSource: pointPath})
	if err != nil {
		return t, err
	}
	listed := map[blob.ID]bool{}
	for _, m := range snaps {
		name, err := v.recordName(m.Tags[tagPoint])
		if err != nil {
			return t, err
		}
		listed[name] = true
	}
	t.Deleted = slices.DeleteFunc(all, func(k Kept) bool { return !listed[k.ID] })
	return t, nil
}

// hiddenHolds returns the holds that were deleted without having been released. One that cannot be read may be such a one.
func (v *Vault) hiddenHolds(ctx context.Context, b *s3.Bucket) (t Tampered, err error) {
	all, err := b.Hidden(ctx, holdBlobs)
	for _, k := range all {
		var data outputBuffer
		var h held
		if b.GetVersion(ctx, k.Data[0], &data) != nil || v.unseal(k.ID, data.Bytes(), &h) != nil || !h.Released {
			t.Deleted = append(t.Deleted, k)
		}
	}
	return t, err
}

// refuseLostHolds is an error while somebody has deleted holds: nobody may remove what they held.
func (v *Vault) refuseLostHolds(ctx context.Context) error {
	b, ok := v.bucket()
	if !ok || v.store.lock.Period == 0 { // nothing says that the bucket keeps versions, or that they may be listed
		return nil
	}
	t, err := v.hiddenHolds(ctx, b)
	if err != nil || len(t.Deleted) == 0 {
		return err
	}
	return problem.New(problem.Failed, "holdfast undelete "+v.loc.Tier+" takes them back", "somebody deleted %d holds in the bucket, the last on %s: nothing is removed that they may have kept",
		len(t.Deleted), t.Deleted[len(t.Deleted)-1].At.UTC().Format(time.RFC3339))
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
