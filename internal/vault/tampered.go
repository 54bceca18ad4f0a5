package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
)

// Tampered is what somebody did to a vault in its bucket, and Undelete turns back.
type Tampered struct {
	Deleted []Kept // otherwise than by the vault's own maintenance
	Over    []Kept // something else was written over them
	Forged  []Kept // indexes that somebody may have copied under another name, by which they stand for others
	roots   int    // of Deleted, those without which nobody knows what else there is
}

// All is every blob of it.
func (t Tampered) All() []Kept {
	return slices.Concat(t.Deleted, t.Over, t.Forged)
}

// String tells in words what somebody did.
func (t Tampered) String() string {
	var did []string
	for _, d := range []struct {
		what string
		n    int
	}{{"deleted %d blobs", len(t.Deleted)}, {"wrote something else over %d blobs", len(t.Over)}, {"copied indexes, of which %d have false names", len(t.Forged)}} {
		if d.n > 0 {
			did = append(did, fmt.Sprintf(d.what, d.n))
		}
	}
	return "somebody " + strings.Join(did, ", and ")
}

// unlocked is an error while nobody knows all that is to be locked, or what was locked is not what is read.
func (t Tampered) unlocked(tier string) error {
	if t.roots+len(t.Over)+len(t.Forged) == 0 {
		return nil
	}
	return problem.New(problem.Failed, "holdfast undelete "+tier+" turns it back; holdfast doctor tells when it was done", "%v in the bucket", t)
}

// isIndex reports whether a blob is an index, or a mark that only counts.
func isIndex(id blob.ID) bool { return hasPrefix(id, "x") }

// writtenOnce reports whether nobody but an attacker writes a second time, or something else, under a name.
func writtenOnce(id blob.ID) bool {
	return namesContents(id) || hasPrefix(id, content.PackBlobIDPrefixes...)
}

// Tampered looks for what somebody did. With an error it is what was found all the same.
func (v *Vault) Tampered(ctx context.Context) (t Tampered, err error) {
	var errs []error
	b, ok := v.bucket()
	if !ok {
		return t, nil
	}
	for _, look := range v.looks() {
		found, err := look(ctx, b)
		t, errs = t.with(found), append(errs, err)
	}
	return t, errors.Join(errs...)
}

func (t Tampered) with(more Tampered) Tampered {
	t.Deleted, t.Over, t.Forged = append(t.Deleted, more.Deleted...), append(t.Over, more.Over...), append(t.Forged, more.Forged...)
	t.roots += more.roots
	return t
}

// looks are for what must be there to find the next: the format and the indexes, the packs, the records of the points that are listed in
// them, and the holds.
func (v *Vault) looks() []func(context.Context, *s3.Bucket) (Tampered, error) {
	return []func(context.Context, *s3.Bucket) (Tampered, error){v.tamperedRoots, v.tamperedPacks, v.hiddenRecords, v.hiddenHolds}
}

// tamperedPacks looks at the packs that the indexes name.
func (v *Vault) tamperedPacks(ctx context.Context, b *s3.Bucket) (t Tampered, err error) {
	suspects := map[blob.ID]Kept{}
	for _, prefix := range content.PackBlobIDPrefixes {
		all, err := b.Kept(ctx, prefix)
		if err != nil {
			return t, err
		}
		for _, k := range all {
			if k.Hidden || len(k.Data) > 1 {
				suspects[k.ID] = k
			}
		}
	}
	if len(suspects) == 0 {
		return t, nil
	}
	ends := map[blob.ID]int64{} // of what the indexes name in each
	err = v.repo.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		if _, ok := suspects[i.PackBlobID]; ok {
			ends[i.PackBlobID] = max(ends[i.PackBlobID], contentEnd(i))
		}
		return nil
	})
	errs := []error{err}
	for id, end := range ends {
		k := suspects[id]
		k.Data = fromWhole(k.Data, end)
		if k.Hidden {
			t.Deleted = append(t.Deleted, k)
			continue
		}
		same, err := b.Same(ctx, k.Data[0], k.Data[len(k.Data)-1])
		errs = append(errs, err)
		if err == nil && !same {
			t.Over = append(t.Over, k)
		}
	}
	return t, errors.Join(errs...)
}

// fromWhole leaves out the oldest versions of a pack that are too short for its contents: what is left of an upload that was cut off, after
// which the vault put the pack again.
func fromWhole(data []s3.Version, end int64) []s3.Version {
	for n := len(data); n > 0; n-- {
		if !tooShort(data[n-1].Length, end) {
			return data[:n]
		}
	}
	return data
}
