package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
)

// now is the clock by which locks are set.
var now = time.Now

// classBlob is where the stock kopia command finds the storage classes of new blobs.
const classBlob blob.ID = ".storageconfig"

// Version is one of an object's.
type Version struct {
	blob.Metadata
	id, tag string
	marker  bool // it says that the object is deleted
}

// presentAt returns what a look at the bucket would have shown at a time.
func (b *Bucket) presentAt(ctx context.Context, at time.Time) (map[blob.ID]Version, error) {
	present := map[blob.ID]Version{}
	err := b.versions(ctx, "", func(v Version) {
		if old, ok := present[v.BlobID]; !v.Timestamp.After(at) && (!ok || v.Timestamp.After(old.Timestamp)) {
			present[v.BlobID] = v
		}
	})
	for id, v := range present {
		if v.marker {
			delete(present, id)
		}
	}
	return present, err
}

// versions calls back for each version and each marker, the newest of an object first.
func (b *Bucket) versions(ctx context.Context, prefix blob.ID, each func(Version)) error {
	return b.try(ctx, "list the versions", unknownSize, func(ctx context.Context) error {
		var all []Version
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range b.core.Client.ListObjects(ctx, b.o.Bucket, minio.ListObjectsOptions{Prefix: b.name(prefix), Recursive: true, WithVersions: true}) {
			if o.Err != nil {
				return o.Err
			}
			if id := b.id(o.Key); id != classBlob {
				all = append(all, Version{blob.Metadata{BlobID: id, Length: o.Size, Timestamp: o.LastModified}, o.VersionID, o.ETag, o.IsDeleteMarker})
			}
		}
		for _, v := range all {
			each(v)
		}
		return nil
	})
}

func (b *Bucket) listPast(prefix blob.ID, each func(blob.Metadata) error) error {
	var found []blob.Metadata
	for id, v := range b.past {
		if strings.HasPrefix(string(id), string(prefix)) {
			found = append(found, v.Metadata)
		}
	}
	slices.SortFunc(found, func(a, b blob.Metadata) int { return strings.Compare(string(a.BlobID), string(b.BlobID)) })
	for _, m := range found {
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

// KeepClasses leaves the storage classes where the stock kopia command looks for them.
func (b *Bucket) KeepClasses(ctx context.Context) error {
	type option struct {
		Prefix blob.ID `json:"prefix"`
		Class  string  `json:"storageClass"`
	}
	var file struct {
		Options []option `json:"blobOptions,omitempty"`
	}
	for prefix, class := range b.o.Class {
		file.Options = append(file.Options, option{prefix, class})
	}
	if len(file.Options) == 0 {
		return nil
	}
	data, err := json.Marshal(file)
	if err != nil {
		return err
	}
	return b.try(ctx, "write "+string(classBlob), 0, func(ctx context.Context) error {
		_, err := b.core.Client.PutObject(ctx, b.o.Bucket, b.name(classBlob), bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{DisableMultipart: true})
		return err
	})
}
