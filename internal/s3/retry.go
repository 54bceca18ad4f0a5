package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"

	"holdfast/internal/problem"
)

// How a request is tried again: after a pause that doubles, up to some seconds, and some tries in all. A store of which every second
// request fails loses one in 16,000.
const (
	tries      = 14
	dials      = 6 // of a store at which nobody listens
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
	slowest    = 64 << 10 // bytes in a second, below which a request counts as stuck
)

// errGarbled is of a body that is not what the store has.
var errGarbled = errors.New("what came is not what the store has")

// try does something until it succeeds, cannot succeed, or was tried often enough. Size is how many bytes may be on their way.
func (b *Bucket) try(ctx context.Context, what string, size int64, do func(context.Context) error) error {
	var err error
	refusals := 0
	for n, pause := 0, firstPause; n < tries; n++ {
		used := b.current()
		if err = b.once(ctx, size, do); err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if refused(err) {
			if refusals++; b.renew(used) {
				continue
			}
		}
		// A body that is damaged on its way does not fit its signature either.
		if garbled := response(err).Code == "SignatureDoesNotMatch" && refusals < 3; hopeless(err) && !garbled || unheard(err) && n+1 >= dials {
			break
		}
		wait := pause/2 + rand.N(pause/2)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		pause = min(pause*2, longPause)
	}
	return b.explain(what, err)
}

func (b *Bucket) once(ctx context.Context, size int64, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime+time.Duration(size/slowest)*time.Second)
	defer cancel()
	return do(ctx)
}

// response is what the store said, if it is the store that failed.
func response(err error) (r minio.ErrorResponse) {
	errors.As(err, &r)
	return r
}

// refused reports whether other keys may help.
func refused(err error) bool {
	switch response(err).Code {
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired":
		return true
	}
	return false
}

func full(err error) bool {
	r := response(err)
	return r.Code == "QuotaExceeded" || r.Code == "XMinioStorageFull" || r.Code == "XMinioAdminBucketQuotaExceeded" || r.StatusCode == http.StatusInsufficientStorage
}

// unheard reports whether nothing at all came from the store, not even a refusal.
func unheard(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// untrusted reports whether the store's certificate was refused.
func untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

// told reports whether an error says by itself what to do, such as one of a file that the keys are to be read from.
func told(err error) bool {
	var p *problem.Error
	return errors.As(err, &p)
}

// hopeless reports whether trying again is in vain. What the store refuses it refuses again, but that it is too busy, or that
// something went wrong on its side.
func hopeless(err error) bool {
	switch r := response(err); {
	case errors.Is(err, blob.ErrBlobNotFound), errors.Is(err, blob.ErrInvalidRange), errors.Is(err, errPast), full(err), untrusted(err), told(err):
		return true
	case r.Code == "RequestTimeout", r.Code == "SlowDown", r.Code == "BadDigest", r.Code == "IncompleteBody", r.Code == "XAmzContentSHA256Mismatch":
		return false
	default:
		return r.StatusCode == http.StatusNotImplemented || r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusRequestTimeout
	}
}

// explain makes a problem of what stays wrong, with what to do about it.
func (b *Bucket) explain(what string, err error) error {
	if errors.Is(err, blob.ErrBlobNotFound) || errors.Is(err, blob.ErrInvalidRange) || errors.Is(err, errPast) {
		return err
	}
	if told(err) {
		return problem.Wrap(err, what, "in bucket "+b.o.Bucket)
	}
	place := b.o.Endpoint + ", bucket " + b.o.Bucket
	p := func(hint string) error {
		return &problem.Error{Kind: problem.Unreachable, Op: what, Target: "at " + place, Cause: worded(err), Hint: hint}
	}
	r := response(err)
	switch {
	case untrusted(err):
		return p("name the certificates that the store's leads to with s3.ca of the tier")
	case unheard(err):
		return p("nobody answers there: look at s3.endpoint of the tier, at the network and at the store")
	case full(err):
		return p("the bucket is full: raise its quota or remove points there with: holdfast prune; then run this again")
	case r.Code == "RequestTimeTooSkewed":
		return p("the clocks of this host and of the store differ by more than the store allows: set this one's, for instance with chronyc makestep")
	case r.Code == "AccessDenied" || r.Code == "" && r.StatusCode == http.StatusForbidden:
		return p("the keys of the tier are not allowed to do this: look at the bucket's policy and who owns the keys")
	case refused(err):
		return p("the store does not know these keys, or they have expired: renew what s3.access_key and s3.secret_key of the tier name, then run this again")
	case r.Code == minio.NoSuchBucket:
		return p("make the bucket, with object lock if the tier has lock:, or correct the tier's url")
	case r.Code == "InvalidStorageClass" || strings.Contains(strings.ToLower(r.Message), "storage class"):
		return p("the store has no such class: correct s3.storage_class of the tier")
	case errors.Is(err, errGarbled):
		return p("the network or the store damages what passes: look at both; what was written stays, and the next run goes on")
	case r.Code == "InvalidRequest" || r.Code == minio.InvalidArgument:
		return p("the store refuses what was asked: look at s3: and lock: of the tier; a lock needs a bucket that was made with object lock")
	}
	return p("the store does not answer, or not as it should: look at the network and the store; what was sent stays, and the next run goes on")
}

// worded is what went wrong in words where the store gave none.
func worded(err error) error {
	r := response(err)
	if r.Code == "" && r.StatusCode == 0 {
		return err
	}
	return fmt.Errorf("the store says %s %d %s: %w", strings.TrimSpace(r.Code), r.StatusCode, http.StatusText(r.StatusCode), err)
}
