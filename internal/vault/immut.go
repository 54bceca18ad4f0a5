package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
)

// Immutable says for how long what a vault stores cannot be removed. The zero value is not at all.
type Immutable struct {
	Mode   string // governance or compliance
	Period time.Duration
}

func (i Immutable) mode() blob.RetentionMode {
	if i.Mode == "compliance" {
		return blob.Compliance
	}
	return blob.Governance
}

// canLock refuses a place that cannot lock what a vault stores there.
func canLock(ctx context.Context, st *store) error {
	b, ok := st.Storage.(*s3.Bucket)
	if !ok {
		return problem.New(problem.Usage, "remove lock: from the tier, or keep it in a bucket", "only a bucket can lock what it holds")
	}
	l, err := b.Locking(ctx)
	if err == nil && !(l.Locks && l.Versions) {
		err = problem.New(problem.Usage, "make a new bucket with object lock, such as: aws s3api create-bucket --object-lock-enabled-for-bucket; a bucket that was made without cannot get it",
			"bucket %s has no object lock", b)
	}
	return err
}

func hasPrefix(id blob.ID, prefixes ...blob.ID) bool {
	return slices.ContainsFunc(prefixes, func(p blob.ID) bool { return strings.HasPrefix(string(id), string(p)) })
}

// lockRecord is when the locks of all blobs were last extended. Every blob that was put since was locked when it was put, so
// that nothing is free before Extended and the period.
type lockRecord struct {
	Extended time.Time `json:"extended"`
	Weaker   int       `json:"weaker,omitempty"` // blobs that were locked in a weaker mode for longer, and stay so
}

// due reports whether the locks are to be extended: also when the clock was ahead when they last were.
func (r lockRecord) due() bool {
	since := now().Sub(r.Extended)
	return since < 0 || since >= extendDue
}

const (
	lockBlob   blob.ID = "holdfast.lock"
	extending          = 16             // locks at once
	extendDue          = 24 * time.Hour // after which locks are extended
	askedLocks         = 4              // blobs that LockedUntil asks the store about
)

// Immutable returns how the vault locks what it stores.
func (v *Vault) Immutable(ctx context.Context) (i Immutable, err error) {
	cfg, err := v.repo.FormatManager().BlobCfgBlob(ctx)
	if err != nil || !cfg.IsRetentionEnabled() {
		return i, err
	}
	i = Immutable{Mode: "governance", Period: cfg.RetentionPeriod}
	if cfg.RetentionMode == blob.Compliance {
		i.Mode = "compliance"
	}
	return i, nil
}

func (v *Vault) bucket() (*s3.Bucket, bool) {
	b, ok := v.store.Storage.(*s3.Bucket)
	return b, ok
}

// Hoards reports whether the vault lies in a bucket that keeps what is removed for good.
func (v *Vault) Hoards(ctx context.Context) (bool, error) {
	b, ok := v.bucket()
	if !ok {
		return false, nil
	}
	if l, err := b.Locking(ctx); err != nil || !l.Versions {
		return false, err
	}
	expires, err := b.Expires(ctx)
	return err == nil && !expires, err
}

// ownLocked are the blobs of Holdfast's own that are locked as kopia's are.
var ownLocked = []blob.ID{recordBlobs, holdBlobs, ownFormat, tierBlobs}

// ownLock is how Holdfast's own blobs are put that matter to points.
func (s *store) ownLock(id blob.ID, o blob.PutOptions) blob.PutOptions {
	if s.lock.Period == 0 || o.RetentionPeriod != 0 || !hasPrefix(id, ownLocked...) {
		return o
	}
	o.RetentionMode, o.RetentionPeriod = s.lock.mode(), s.lock.Period
	return o
}

// ExtendLocks locks everything that the vault holds anew, when that is due or force says so, and reports whether it did. Without
// it, what points share with older ones would become free before they do.
func (v *Vault) ExtendLocks(ctx context.Context, force bool) (done bool, err error) {
	i, err := v.Immutable(ctx)
	if err != nil || i.Period == 0 {
		return false, err
	}
	var last lockRecord
	if err := v.kept(ctx, lockBlob, &last); err != nil { // nobody knows when: all are extended, and that is written anew
		last = lockRecord{}
	}
	if !force && !last.due() {
		return false, nil
	}
	began := now()
	weaker, err := v.extendAll(ctx, i)
	if err != nil {
		return false, problem.Wrap(err, "extend the locks of vault", v.loc.URL)
	}
	return true, v.keep(ctx, lockBlob, lockRecord{began, weaker})
}

// WeakerLocks returns how many blobs were locked, when all last were, in a weaker mode than the vault's.
func (v *Vault) WeakerLocks(ctx context.Context) (int, error) {
	var last lockRecord
	err := v.kept(ctx, lockBlob, &last)
	if errors.Is(err, blob.ErrBlobNotFound) {
		return 0, nil
	}
	return last.Weaker, err
}

// LockedUntil returns when the first blob of the vault may be removed: as recorded, or earlier when one of some that the store is
// asked about says so. It is the zero time when nothing is locked, or not all of it.
func (v *Vault) LockedUntil(ctx context.Context) (until time.Time, err error) {
	i, err := v.Immutable(ctx)
	b, ok := v.bucket()
	if err != nil || i.Period == 0 || !ok {
		return until, err
	}
	var last lockRecord
	switch err := v.kept(ctx, lockBlob, &last); {
	case errors.Is(err, blob.ErrBlobNotFound):
	case err != nil:
		return until, problem.Wrap(err, "look at the locks of vault", v.loc.URL)
	default:
		until = last.Extended.Add(i.Period)
	}
	ids, err := v.somePacks(ctx)
	for _, id := range ids {
		if err != nil {
			break
		}
		var at time.Time
		if at, err = b.LockedUntil(ctx, id); err == nil && at.Before(until) {
			until = at
		}
	}
	if err != nil {
		return time.Time{}, problem.Wrap(err, "look at the locks of vault", v.loc.URL)
	}
	return until, nil
}

// somePacks are packs of data and of directories, chosen by a letter that the time gives.
func (v *Vault) somePacks(ctx context.Context) (ids []blob.ID, err error) {
	letter := fmt.Sprintf("%x", now().UnixNano()/1000%16)
	for _, prefix := range []blob.ID{blob.ID("p" + letter), blob.ID("q" + letter), "p", "q"} {
		if len(ids) >= askedLocks {
			break
		}
		n := 0
		err := v.store.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			if ids, n = append(ids, m.BlobID), n+1; n >= askedLocks/2 {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	return ids, nil
}

// SetImmutable has the vault lock what it stores from now on, and what it holds, and reports whether that is new.
func (v *Vault) SetImmutable(ctx context.Context, i Immutable) (changed bool, err error) {
	is, err := v.Immutable(ctx)
	if err != nil || is == i {
		return false, err
	}
	if err := canLock(ctx, v.store); err != nil {
		return false, problem.Wrap(err, "lock vault", v.loc.URL)
	}
	f := v.repo.FormatManager()
	parameters, err := f.GetMutableParameters(ctx)
	if err != nil {
		return false, problem.Wrap(err, "lock vault", v.loc.URL)
	}
	features, err := f.RequiredFeatures(ctx)
	if err == nil {
		err = f.SetParameters(ctx, parameters, format.BlobStorageConfiguration{RetentionMode: i.mode(), RetentionPeriod: i.Period}, features)
	}
	if err == nil {
		v.store.lock = i
		err = v.write(ctx, "lock", ownMaintenance)
	}
	if err == nil {
		err = v.keepFormatCopies(ctx)
	}
	if err == nil {
		_, err = v.ExtendLocks(ctx, true)
	}
	if err != nil {
		return false, problem.Wrap(err, "lock vault", v.loc.URL)
	}
	return true, nil
}
