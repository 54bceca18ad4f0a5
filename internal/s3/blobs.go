package s3

import (
	"context"
	"crypto/md5" // as S3 has it, against accidents
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
)

// unknownSize is what a request is given time for whose length is not known.
const unknownSize = 64 << 20

// GetBlob reads a blob, or a part of it. A whole one is compared with the digest that the store gives, if it gives one.
func (b *Bucket) GetBlob(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	var o minio.GetObjectOptions
	if b.past != nil {
		v, ok := b.past[id]
		if !ok {
			return blob.ErrBlobNotFound
		}
		o.VersionID = v.id
	}
	if length == 0 {
		out.Reset()
		_, err := b.GetMetadata(ctx, id)
		return err
	}
	if offset < 0 || length > 0 && o.SetRange(offset, offset+length-1) != nil {
		return blob.ErrInvalidRange
	}
	size := length
	if length < 0 {
		size = unknownSize
	} else if done, err := b.part(ctx, id, offset, length, out); done {
		return err
	}
	return b.try(ctx, "read "+string(id), size, func(ctx context.Context) error {
		out.Reset()
		return b.get(ctx, id, o, length, out)
	})
}

func (b *Bucket) get(ctx context.Context, id blob.ID, o minio.GetObjectOptions, length int64, out blob.OutputBuffer) error {
	body, info, _, err := b.core.GetObject(ctx, b.o.Bucket, b.name(id), o)
	if err != nil {
		return missing(err)
	}
	defer body.Close()
	if length > 0 {
		if _, err := io.Copy(out, body); err != nil {
			return err
		}
		return blob.EnsureLengthExactly(out.Length(), length)
	}
	sum := md5.New()
	n, err := io.Copy(io.MultiWriter(out, sum), body)
	switch {
	case err != nil:
		return err
	case n != info.Size:
		return fmt.Errorf("%w: %d bytes of %d", errGarbled, n, info.Size)
	case !fits(info.ETag, sum.Sum(nil)):
		return fmt.Errorf("%w: its digest differs", errGarbled)
	}
	return nil
}

// fits reports whether a store's tag of an object may be that of data with a digest. Encrypted or composed ones have tags of another kind.
func fits(tag string, sum []byte) bool {
	want, err := hex.DecodeString(strings.Trim(tag, `"`))
	return err != nil || len(want) != md5.Size || string(want) == string(sum)
}

// missing makes kopia's errors of a store's.
func missing(err error) error {
	switch r := response(err); {
	case r.Code == minio.NoSuchBucket:
		return err
	case r.Code == minio.NoSuchKey || r.Code == "NoSuchVersion" || r.StatusCode == http.StatusNotFound:
		return blob.ErrBlobNotFound
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return blob.ErrInvalidRange
	}
	return err
}

// GetMetadata returns the length and the time of a blob.
func (b *Bucket) GetMetadata(ctx context.Context, id blob.ID) (m blob.Metadata, err error) {
	if b.past != nil {
		v, ok := b.past[id]
		if !ok {
			return m, blob.ErrBlobNotFound
		}
		return v.Metadata, nil
	}
	err = b.try(ctx, "look for "+string(id), 0, func(ctx context.Context) error {
		info, err := b.core.StatObject(ctx, b.o.Bucket, b.name(id), minio.StatObjectOptions{})
		m = blob.Metadata{BlobID: id, Length: info.Size, Timestamp: info.LastModified}
		return missing(err)
	})
	return m, err
}

// PutBlob writes a blob, and believes that it is there when the store names its digest or its length.
func (b *Bucket) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, o blob.PutOptions) error {
	switch {
	case b.past != nil:
		return errPast
	case o.DoNotRecreate:
		return fmt.Errorf("do-not-recreate: %w", blob.ErrUnsupportedPutBlobOption)
	case !o.SetModTime.IsZero():
		return blob.ErrSetTimeUnsupported
	}
	sum := md5.New()
	if _, err := data.WriteTo(sum); err != nil {
		return err
	}
	put := minio.PutObjectOptions{ContentType: "application/x-kopia", StorageClass: b.class(id), DisableMultipart: true}
	return b.try(ctx, "write "+string(id), int64(data.Length()), func(ctx context.Context) error {
		put := put
		if o.RetentionPeriod != 0 {
			put.Mode, put.RetainUntilDate = minio.RetentionMode(o.RetentionMode), now().Add(o.RetentionPeriod).UTC()
		}
		at, err := b.put(ctx, id, data, sum.Sum(nil), put)
		if err == nil && o.GetModTime != nil {
			*o.GetModTime = at
		}
		return err
	})
}

// put returns the time that the store gave the object.
func (b *Bucket) put(ctx context.Context, id blob.ID, data blob.Bytes, sum []byte, o minio.PutObjectOptions) (at time.Time, err error) {
	body := data.Reader()
	defer body.Close()
	info, err := b.core.PutObject(ctx, b.o.Bucket, b.name(id), body, int64(data.Length()), base64.StdEncoding.EncodeToString(sum), "", o)
	if err != nil {
		return at, err
	}
	if !fits(info.ETag, sum) {
		return at, fmt.Errorf("%w: the digest of what the store received differs", errGarbled)
	}
	stat, err := b.core.StatObject(ctx, b.o.Bucket, b.name(id), minio.StatObjectOptions{})
	if errors.Is(missing(err), blob.ErrBlobNotFound) {
		return at, fmt.Errorf("%w: it says that it received it, and has it not", errGarbled)
	}
	if err != nil {
		return at, err
	}
	if stat.Size != int64(data.Length()) || !fits(stat.ETag, sum) {
		return at, fmt.Errorf("%w: of %d bytes the store received %d", errGarbled, data.Length(), stat.Size)
	}
	return stat.LastModified, nil
}

// DeleteBlob removes a blob, or hides it where the bucket keeps versions.
func (b *Bucket) DeleteBlob(ctx context.Context, id blob.ID) error {
	if b.past != nil {
		return errPast
	}
	err := b.try(ctx, "remove "+string(id), 0, func(ctx context.Context) error {
		return missing(b.core.RemoveObject(ctx, b.o.Bucket, b.name(id), minio.RemoveObjectOptions{}))
	})
	if errors.Is(err, blob.ErrBlobNotFound) {
		return nil
	}
	return err
}

// ListBlobs calls back for each blob whose name begins so. What fails on the way is asked for again from there.
func (b *Bucket) ListBlobs(ctx context.Context, prefix blob.ID, each func(blob.Metadata) error) error {
	if b.past != nil {
		return b.listPast(prefix, each)
	}
	for after, more := "", true; more; {
		var page minio.ListBucketV2Result
		err := b.try(ctx, "list the blobs", 0, func(ctx context.Context) (err error) {
			page, err = b.listPage(ctx, prefix, after)
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if after = o.Key; b.id(o.Key) == classBlob {
				continue
			}
			if err := each(blob.Metadata{BlobID: b.id(o.Key), Length: o.Size, Timestamp: o.LastModified}); err != nil {
				return err
			}
		}
		more = page.IsTruncated && len(page.Contents) > 0
	}
	return nil
}

const pageSize = 1000

// listPage gives up with its context, which the client's own listing does not take.
func (b *Bucket) listPage(ctx context.Context, prefix blob.ID, after string) (page minio.ListBucketV2Result, err error) {
	done := make(chan struct{})
	var got minio.ListBucketV2Result
	var failed error
	go func() {
		defer close(done)
		got, failed = b.core.ListObjectsV2(b.o.Bucket, b.name(prefix), after, "", "", pageSize)
	}()
	select {
	case <-ctx.Done():
		return page, ctx.Err()
	case <-done:
		return got, failed
	}
}
