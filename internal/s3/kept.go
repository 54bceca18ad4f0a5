package s3

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
)

// Kept is a blob of which a bucket keeps one version or more.
type Kept struct {
	ID      blob.ID
	Hidden  bool      // its newest version says that it is deleted
	At      time.Time // when it was deleted, or else was put last
	Data    []Version // what it holds and held, the newest first
	markers []string
}

// note takes the versions of a blob, the newest first.
func (k *Kept) note(v Version) {
	if len(k.Data) == 0 && (v.marker || !k.Hidden) {
		k.At, k.Hidden = v.Timestamp, v.marker
	}
	if v.marker {
		k.markers = append(k.markers, v.id)
	} else {
		k.Data = append(k.Data, v)
	}
}

// Kept lists the blobs of which there is a version that holds something.
func (b *Bucket) Kept(ctx context.Context, prefix blob.ID) (all []Kept, err error) {
	err = b.versions(ctx, prefix, func(v Version) {
		if n := len(all); n == 0 || all[n-1].ID != v.BlobID {
			all = append(all, Kept{ID: v.BlobID})
		}
		all[len(all)-1].note(v)
	})
	return slices.DeleteFunc(all, func(k Kept) bool { return len(k.Data) == 0 || strings.HasPrefix(string(k.ID), string(probes)) }), err
}

// Hidden lists those of Kept that are deleted.
func (b *Bucket) Hidden(ctx context.Context, prefix blob.ID) ([]Kept, error) {
	all, err := b.Kept(ctx, prefix)
	return slices.DeleteFunc(all, func(k Kept) bool { return !k.Hidden }), err
}

// GetVersion reads what a version of a blob holds.
func (b *Bucket) GetVersion(ctx context.Context, v Version, out blob.OutputBuffer) error {
	return b.try(ctx, "read a version of "+string(v.BlobID), v.Length, func(ctx context.Context) error {
		out.Reset()
		return b.get(ctx, v.BlobID, minio.GetObjectOptions{VersionID: v.id}, -1, out)
	})
}

// Same reports whether two versions hold the same. Where objects are encrypted, the store's tags do not tell.
func (b *Bucket) Same(ctx context.Context, one, other Version) (bool, error) {
	if one.Length != other.Length || one.tag == other.tag {
		return one.Length == other.Length, nil
	}
	var data [2]readBuffer
	for n, v := range []Version{one, other} {
		if err := b.GetVersion(ctx, v, &data[n]); err != nil {
			return false, err
		}
	}
	return bytes.Equal(data[0].Bytes(), data[1].Bytes()), nil
}

type readBuffer struct{ bytes.Buffer }

func (b *readBuffer) Length() int { return b.Len() }

// Unhide takes back the deletion of a blob.
func (b *Bucket) Unhide(ctx context.Context, k Kept) error {
	for _, m := range k.markers {
		if err := b.removeVersion(ctx, k.ID, m, false); err != nil {
			return fmt.Errorf("take back the deletion of %s: %w", k.ID, err)
		}
	}
	return nil
}
