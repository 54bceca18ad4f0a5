package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sync/errgroup"
)

// ownFormat begins the names of copies of the vault's own format blobs, where there are no files but blobs.
const ownFormat blob.ID = "holdfast.format."

// remote is the home of a vault of which nothing but blobs is reached. What was put there lasts.
type remote struct {
	loc     Location
	connect func(ctx context.Context) (blob.Storage, error)
	percent int
	advice  string

	mu sync.Mutex
	st blob.Storage
}

func (r *remote) hint() string { return r.advice }

func (r *remote) ecc() int { return r.percent }

// open connects once.
func (r *remote) open(ctx context.Context, _ bool) (blob.Storage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.st != nil {
		return r.st, nil
	}
	st, err := r.connect(ctx)
	if err == nil {
		r.st = st
	}
	return st, err
}

func (r *remote) close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.st == nil {
		return nil
	}
	err := r.st.Close(ctx)
	r.st = nil
	return err
}

func (r *remote) present(ctx context.Context) error {
	st, err := r.open(ctx, false)
	if err != nil {
		return r.loc.unreachable(r.advice, err)
	}
	if d, ok := st.(ground); ok {
		if err := d.Check(ctx); errors.Is(err, fs.ErrNotExist) {
			return r.loc.unreachable("mount what it lies on; or make a vault there with: holdfast init", err)
		} else if err != nil {
			return r.loc.unreachable(r.advice, err)
		}
	}
	switch _, err := st.GetMetadata(ctx, creating); {
	case err == nil:
		return r.loc.halfMade(r.loc.URL)
	case errors.Is(err, blob.ErrBlobNotFound):
		return nil
	default:
		return r.loc.unreachable(r.advice, err)
	}
}

// ground is a storage whose place must be there, or made, before anything is in it.
type ground interface {
	Check(ctx context.Context) error
	Make(ctx context.Context) error
}

var errEnough = errors.New("enough was seen")

// names are some of those of the blobs there are, with those by which a vault is known.
func (r *remote) names(ctx context.Context) (names []string, err error) {
	st, err := r.open(ctx, false)
	if err != nil {
		return nil, r.loc.unreachable(r.advice, err)
	}
	for _, prefix := range []blob.ID{creating, "kopia.repository", ""} {
		err := st.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			names = append(names, string(m.BlobID))
			return errEnough
		})
		if errors.Is(err, fs.ErrNotExist) { // there is not even a place
			return nil, nil
		}
		if err != nil && !errors.Is(err, errEnough) {
			return nil, r.loc.unreachable(r.advice, err)
		}
	}
	return names, nil
}

func (r *remote) occupied(ctx context.Context) (bool, error) {
	names, err := r.names(ctx)
	return len(names) > 0, err
}

func (r *remote) claim(ctx context.Context) error {
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	if err := taken(r.loc.URL, "place", names); err != nil {
		return err
	}
	if d, ok := r.st.(ground); ok {
		if err := d.Make(ctx); err != nil {
			return err
		}
	}
	return r.st.PutBlob(ctx, creating, ownBytes(creating), blob.PutOptions{})
}

func (r *remote) settle(ctx context.Context) error { return r.st.DeleteBlob(ctx, creating) }

// undo removes the mark last.
func (r *remote) undo(ctx context.Context) error {
	var made []blob.ID
	err := r.st.ListBlobs(ctx, "", func(m blob.Metadata) error {
		if m.BlobID != creating {
			made = append(made, m.BlobID)
		}
		return nil
	})
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(unduing)
	for _, id := range made {
		g.Go(func() error { return r.st.DeleteBlob(gctx, id) })
	}
	if err := errors.Join(err, g.Wait()); err != nil {
		return err
	}
	return r.settle(ctx)
}

// unduing is how many blobs are removed at once.
const unduing = 8

func (r *remote) keepFormat(ctx context.Context, name string, data []byte) error {
	if err := r.st.PutBlob(ctx, ownFormat+blob.ID(name), ownBytes(data), blob.PutOptions{}); err != nil {
		return fmt.Errorf("keep a copy of %s: %w", name, err)
	}
	return nil
}

func (r *remote) formatCopy(ctx context.Context, name string) []byte {
	var b outputBuffer
	if err := r.st.GetBlob(ctx, ownFormat+blob.ID(name), 0, -1, &b); err != nil {
		return nil
	}
	return b.Bytes()
}

func (r *remote) put(context.Context, blob.ID) error { return nil }

func (r *remote) sync() error { return nil }

func (r *remote) space(ctx context.Context) (free, capacity int64, err error) {
	c, err := r.st.GetCapacity(ctx)
	if errors.Is(err, blob.ErrNotAVolume) {
		return 0, 0, nil
	}
	return int64(c.FreeB), int64(c.SizeB), err
}
