package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// ExtendBlobRetention locks a blob anew, from now on. What is locked for longer stays so.
func (b *Bucket) ExtendBlobRetention(ctx context.Context, id blob.ID, o blob.ExtendOptions) error {
	_, err := b.extend(ctx, id, "", o)
	return err
}

// ExtendVersion is ExtendBlobRetention for one version of a blob, and reports whether its mode stays weaker than what is asked for.
func (b *Bucket) ExtendVersion(ctx context.Context, v Version, o blob.ExtendOptions) (weaker bool, err error) {
	return b.extend(ctx, v.BlobID, v.id, o)
}

// extend locks a version of a blob, "" the newest. A store refuses to shorten a lock and to weaken it, which is no reason to fail: it
// would be enough to lock one blob for a century. Such a lock is renewed as it is. One in the weaker mode is not made stricter until its
// own end: nobody could lift a century any more.
func (b *Bucket) extend(ctx context.Context, id blob.ID, version string, o blob.ExtendOptions) (weaker bool, err error) {
	if b.past != nil {
		return false, errPast
	}
	want, until := minio.RetentionMode(o.RetentionMode), now().Add(o.RetentionPeriod).UTC()
	refused := b.retain(ctx, id, version, want, until)
	if !locked(refused) {
		return false, refused
	}
	mode, at, err := b.retention(ctx, id, version)
	if err != nil || !mode.IsValid() {
		return false, errors.Join(refused, err)
	}
	if at.Before(until.Truncate(time.Second)) {
		err = b.retain(ctx, id, version, mode, until)
	}
	return mode == minio.Governance && want == minio.Compliance, err
}

// locked reports whether a store refuses something because of a lock, or of what the keys may do. MinIO has another answer than RGW and AWS.
func locked(err error) bool {
	r := response(err)
	return r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusBadRequest && r.Code == "InvalidRequest" && strings.Contains(r.Message, "WORM")
}

func (b *Bucket) retain(ctx context.Context, id blob.ID, version string, mode minio.RetentionMode, until time.Time) error {
	return b.try(ctx, "extend the lock of "+string(id), 0, func(ctx context.Context) error {
		return missing(b.core.PutObjectRetention(ctx, b.o.Bucket, b.name(id), minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: version}))
	})
}

// LockedUntil returns when the lock of a blob ends, the zero time when it has none.
func (b *Bucket) LockedUntil(ctx context.Context, id blob.ID) (until time.Time, err error) {
	_, until, err = b.retention(ctx, id, "")
	return until, err
}

// retention is the lock of a version of a blob, "" the newest.
func (b *Bucket) retention(ctx context.Context, id blob.ID, version string) (mode minio.RetentionMode, until time.Time, err error) {
	err = b.try(ctx, "ask for the lock of "+string(id), 0, func(ctx context.Context) error {
		m, at, err := b.core.GetObjectRetention(ctx, b.o.Bucket, b.name(id), version)
		if code := response(err).Code; code == "NoSuchObjectLockConfiguration" || code == "ObjectLockConfigurationNotFoundError" || code == "InvalidRequest" {
			return nil
		}
		if err == nil && m != nil && at != nil {
			mode, until = *m, *at
		}
		return missing(err)
	})
	return mode, until, err
}

// Locking says what a bucket can do against a removal.
type Locking struct {
	Versions bool // it keeps what is replaced or removed
	Locks    bool // objects can be locked
}

// Locking asks the bucket.
func (b *Bucket) Locking(ctx context.Context) (l Locking, err error) {
	err = b.try(ctx, "ask whether the bucket keeps versions", 0, func(ctx context.Context) error {
		v, err := b.core.GetBucketVersioning(ctx, b.o.Bucket)
		l.Versions = v.Enabled()
		return err
	})
	if err != nil {
		return l, err
	}
	err = b.try(ctx, "ask whether the bucket locks", 0, func(ctx context.Context) error {
		state, _, _, _, err := b.core.GetObjectLockConfig(ctx, b.o.Bucket)
		if response(err).StatusCode == http.StatusNotFound {
			return nil
		}
		l.Locks = state == "Enabled"
		return err
	})
	return l, err
}

// Expires asks whether a rule of the bucket removes, some day, the versions of what was replaced or removed here.
func (b *Bucket) Expires(ctx context.Context) (expires bool, err error) {
	err = b.try(ctx, "ask for the lifecycle rules of the bucket", 0, func(ctx context.Context) error {
		c, err := b.core.GetBucketLifecycle(ctx, b.o.Bucket)
		if response(err).Code == "NoSuchLifecycleConfiguration" {
			return nil
		}
		expires = err == nil && slices.ContainsFunc(c.Rules, func(r lifecycle.Rule) bool {
			return b.covered(r) && r.Status == "Enabled" && r.NoncurrentVersionExpiration.NoncurrentDays > 0
		})
		return err
	})
	return expires, err
}

// covered reports whether a rule is for all objects here. They have no tags.
func (b *Bucket) covered(r lifecycle.Rule) bool {
	f := r.RuleFilter
	tagged := !f.Tag.IsEmpty() || slices.ContainsFunc(f.And.Tags, func(t lifecycle.Tag) bool { return !t.IsEmpty() })
	return !tagged && strings.HasPrefix(b.o.Prefix, cmp.Or(f.And.Prefix, f.Prefix, r.Prefix))
}

// probes are the objects that Probe leaves until their locks end.
const probes blob.ID = "holdfast.probe."

// probeLock is how long a probe stays locked, and so stays.
const probeLock = time.Minute

// Probe is what came of trying to remove a locked object with the keys that backups use.
type Probe struct {
	Hidden    bool // a removal without a version only hid it
	Removed   bool // its version was removed: the lock does not hold
	Bypassed  bool // it was removed by lifting the lock, which the keys may
	Forgotten int  // earlier probes whose locks had ended, removed by their versions
}

// Probe writes a small locked object and tries to remove it, without its version, with it, and by lifting the lock.
func (b *Bucket) Probe(ctx context.Context, mode blob.RetentionMode) (p Probe, err error) {
	id := probes + blob.ID(strings.ToLower(rand.Text()))
	if p.Forgotten, err = b.forgetProbes(ctx); err != nil {
		return p, err
	}
	var put minio.UploadInfo
	err = b.try(ctx, "write a locked object to try", 0, func(ctx context.Context) (err error) {
		put, err = b.core.Client.PutObject(ctx, b.o.Bucket, b.name(id), bytes.NewReader([]byte("probe")), 5, minio.PutObjectOptions{
			Mode: minio.RetentionMode(mode), RetainUntilDate: now().Add(probeLock).UTC(), DisableMultipart: true, SendContentMd5: true,
		})
		return err
	})
	if err != nil {
		return p, err
	}
	if err := b.DeleteBlob(ctx, id); err != nil {
		return p, err
	}
	p.Hidden = b.stands(ctx, id, put.VersionID)
	if err := b.removeVersion(ctx, id, put.VersionID, false); err == nil {
		p.Removed = !b.stands(ctx, id, put.VersionID)
	} else if !locked(err) {
		return p, err
	}
	if !p.Removed && b.removeVersion(ctx, id, put.VersionID, true) == nil {
		p.Bypassed = !b.stands(ctx, id, put.VersionID)
	}
	return p, nil
}

// stands reports whether a version is still there.
func (b *Bucket) stands(ctx context.Context, id blob.ID, version string) bool {
	err := b.try(ctx, "look for "+string(id), 0, func(ctx context.Context) error {
		_, err := b.core.StatObject(ctx, b.o.Bucket, b.name(id), minio.StatObjectOptions{VersionID: version})
		return missing(err)
	})
	return err == nil
}

// removeVersion tries again only what is worth it: a refusal is what is asked for.
func (b *Bucket) removeVersion(ctx context.Context, id blob.ID, version string, bypass bool) error {
	var refusal error
	err := b.try(ctx, "remove a version of "+string(id), 0, func(ctx context.Context) error {
		err := b.core.RemoveObject(ctx, b.o.Bucket, b.name(id), minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: bypass})
		if locked(err) {
			refusal = err
			return nil
		}
		return err
	})
	return errors.Join(err, refusal)
}

func (b *Bucket) forgetProbes(ctx context.Context) (n int, err error) {
	var old []Version
	err = b.versions(ctx, probes, func(v Version) {
		if now().Sub(v.Timestamp) > 2*probeLock {
			old = append(old, v)
		}
	})
	for _, v := range old {
		if err == nil && b.removeVersion(ctx, v.BlobID, v.id, false) == nil {
			n++
		}
	}
	return n, err
}
