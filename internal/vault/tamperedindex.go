package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/s3"
)

// tamperedRoots looks at the format and the indexes. A deleted index is not lost when one that kopia reads stands for it, or when none of
// its versions is an index: a rescue has dropped it and named anew what it named. Of those that are sealed alike none stands for others.
func (v *Vault) tamperedRoots(ctx context.Context, b *s3.Bucket) (t Tampered, err error) {
	formats, ferr := hiddenFormats(ctx, b)
	all, err := b.Kept(ctx, "x")
	stand, serr := v.standing(ctx, all) // later than all: else one would be missing that was compacted meanwhile
	errs := []error{ferr, err, serr}
	names := bySeal(all)
	present, hidden := splitHidden(all)
	t.Forged = slices.DeleteFunc(slices.Clone(present), func(k Kept) bool { return !names.forged(k.ID) })
	hidden = slices.DeleteFunc(hidden, func(k Kept) bool { return names.forged(k.ID) && names.harmless(k.ID) })
	stand = slices.DeleteFunc(stand, names.forged)
	for _, k := range present {
		if !namesContents(k.ID) || len(k.Data) == 1 {
			continue
		}
		n, err := v.soundVersion(ctx, b, k)
		if errs = append(errs, err); n > 0 {
			t.Over = append(t.Over, k)
		}
	}
	var suspects []Kept
	for _, k := range notReplaced(hidden, stand, nil) {
		n, err := v.soundVersion(ctx, b, k)
		if errs = append(errs, err); n >= 0 {
			suspects = append(suspects, k)
		}
	}
	t.Deleted = append(formats, notReplaced(suspects, stand, idsOfKept(suspects))...)
	t.roots = len(t.Deleted)
	return t, errors.Join(errs...)
}

// standing are the indexes that kopia reads, and the marks that are present.
func (v *Vault) standing(ctx context.Context, all []Kept) (ids []blob.ID, err error) {
	for _, k := range all {
		if !k.Hidden && !namesContents(k.ID) {
			ids = append(ids, k.ID)
		}
	}
	if err := guard(func() error { return v.repo.Refresh(ctx) }); err != nil {
		return ids, fmt.Errorf("refresh: %w", err)
	}
	active, err := v.repo.IndexBlobs(ctx, false)
	for _, m := range active {
		ids = append(ids, m.BlobID)
	}
	return ids, err
}

// soundVersion returns which version of an index is one, the newest that is, or -1. Of a mark it is the newest; so it is when that cannot
// be told.
func (v *Vault) soundVersion(ctx context.Context, b *s3.Bucket, k Kept) (int, error) {
	if !namesContents(k.ID) {
		return 0, nil
	}
	for n, version := range k.Data {
		sound, err := v.soundIndex(k.ID, func(out blob.OutputBuffer) error { return b.GetVersion(ctx, version, out) })
		switch {
		case errors.Is(err, blob.ErrBlobNotFound): // its lock has ended meanwhile
		case err != nil:
			return 0, err
		case sound:
			return n, nil
		}
	}
	return -1, nil
}

// seals are the names of indexes by what their bytes are sealed with: the last digits of the name, and not the first, which say for which
// epochs the index stands. Kopia makes no two with one seal. So one of them is a copy by which somebody has kopia leave others unread, unless
// it is one of many of its epoch (xn). Nothing tells which: a store's times change when somebody deletes a blob and takes that back.
type seals map[string][]blob.ID

func bySeal(all []Kept) seals {
	names := seals{}
	for _, k := range all {
		if seal := sealOf(k.ID); seal != "" {
			names[seal] = append(names[seal], k.ID)
		}
	}
	return names
}

// forged reports whether an index, which stands for others, may be a copy.
func (s seals) forged(id blob.ID) bool { return len(s[sealOf(id)]) > 1 && !hasPrefix(id, single) }

// harmless reports whether what an index names is also in one that stands for no others.
func (s seals) harmless(id blob.ID) bool {
	return slices.ContainsFunc(s[sealOf(id)], func(other blob.ID) bool { return hasPrefix(other, single) })
}

// single are the indexes that stand for no others.
const single blob.ID = "xn"

// harmlessName is under what name the bytes of an index stand for no others. Whether kopia reads them there is of no matter.
func harmlessName(id blob.ID) blob.ID {
	_, rest, _ := strings.Cut(string(id), "-")
	return single + "0_" + blob.ID(sealOf(id)+"-"+rest)
}

// sealOf is the part of an index's name that its bytes are sealed with, "" for what is none.
func sealOf(id blob.ID) string {
	const digits = 32
	name, _, _ := strings.Cut(string(id), "-")
	if !namesContents(id) || len(name) < digits {
		return ""
	}
	seal := strings.ToLower(name[len(name)-digits:])
	if _, err := hex.DecodeString(seal); err != nil {
		return ""
	}
	return seal
}
