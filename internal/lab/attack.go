package lab

import (
	"context"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// Attack does to a bucket what somebody can who has the keys of its owner: it deletes every object, and then every version that the
// gateway lets go of. It returns how many objects it hid and how many versions the gateway refused to remove.
func (l *Lab) Attack(ctx context.Context, bucket string) (hidden, refused int, err error) {
	c, err := l.S3()
	if err != nil {
		return 0, 0, err
	}
	for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return hidden, refused, fmt.Errorf("list bucket %s: %w", bucket, o.Err)
		}
		if err := c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			return hidden, refused, fmt.Errorf("delete %s: %w", o.Key, err)
		}
		hidden++
	}
	for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return hidden, refused, fmt.Errorf("list versions of bucket %s: %w", bucket, o.Err)
		}
		if o.IsDeleteMarker {
			continue
		}
		err := c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true})
		switch {
		case err == nil:
		case minio.ToErrorResponse(err).StatusCode == http.StatusForbidden:
			refused++
		default:
			return hidden, refused, fmt.Errorf("remove a version of %s: %w", o.Key, err)
		}
	}
	return hidden, refused, nil
}

// AttackTier is Attack on the bucket of the S3 tier in the lab's own holdfast.yml.
func (l *Lab) AttackTier(ctx context.Context) (hidden, refused int, err error) {
	return l.Attack(ctx, tierBucket)
}
