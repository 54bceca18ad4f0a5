package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/s3"
)

func (i Immutable) extension() blob.ExtendOptions {
	return blob.ExtendOptions{RetentionMode: i.mode(), RetentionPeriod: i.Period}
}

// extender locks versions of blobs anew, some at once.
type extender struct {
	g      *errgroup.Group
	extend func(s3.Version) error
	failed failures
	weaker atomic.Int64
}

func newExtender(ctx context.Context, b *s3.Bucket, i Immutable) *extender {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(extending)
	e := &extender{g: g}
	e.extend = func(v s3.Version) error {
		weaker, err := b.ExtendVersion(gctx, v, i.extension())
		if weaker {
			e.weaker.Add(1)
		}
		return err
	}
	return e
}

func (e *extender) add(versions ...s3.Version) {
	for _, v := range versions {
		e.g.Go(func() error { return e.failed.add(e.extend(v)) })
	}
}

// extendAll goes on with the others where a blob cannot be locked, or some cannot be listed: nobody who spoils one shall free them
// all. Of what is written once all versions are locked: if there is a second one, it is not ours. Indexes are locked also when they are
// deleted, whether another one seems to stand for them or not, since the name of an index, which says for what it stands, is sealed by
// nothing. It returns how many locks stay weaker than they should be.
func (v *Vault) extendAll(ctx context.Context, i Immutable) (weaker int, err error) {
	b, ok := v.bucket()
	if !ok {
		return 0, errors.New("only a bucket can lock what it holds")
	}
	e := newExtender(ctx, b, i)
	var errs []error
	for _, prefix := range append(repo.GetLockingStoragePrefixes(), ownLocked...) {
		all, err := b.Kept(ctx, prefix)
		errs = append(errs, err)
		for _, k := range all {
			switch {
			case isIndex(k.ID), writtenOnce(k.ID) && !k.Hidden:
				e.add(k.Data...)
			case !k.Hidden:
				e.add(k.Data[0])
			}
		}
	}
	t, err := v.Tampered(ctx)
	for _, k := range t.Deleted {
		e.add(k.Data...)
	}
	err = errors.Join(e.g.Wait(), e.failed.err(), errors.Join(errs...), err, t.unlocked(v.loc.Tier))
	return int(e.weaker.Load()), err
}

// mostFailed is how many blobs may fail in a row before the store is given up, which may not answer at all.
const mostFailed = 2 * extending

// failures are those of single blobs.
type failures struct {
	mu     sync.Mutex
	first  error
	n, row int
}

// add counts a failure, and returns an error when there are too many without a success between them: who spoils some blobs shall not
// keep the others from their locks. What was removed meanwhile is none.
func (f *failures) add(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || errors.Is(err, blob.ErrBlobNotFound) {
		f.row = 0
		return nil
	}
	if f.n, f.row = f.n+1, f.row+1; f.first == nil {
		f.first = err
	}
	if f.row < mostFailed {
		return nil
	}
	return errGivenUp
}

// errGivenUp ends an extension: what failed is told beside it.
var errGivenUp = errors.New("the store is given up")

func (f *failures) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return nil
	}
	return fmt.Errorf("%d blobs are not locked anew, such as: %w", f.n, f.first)
}
