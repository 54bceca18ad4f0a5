package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// TestKeysAreRenewedOnce has many requests refused at once: the keys are read again once, and all go on.
func TestKeysAreRenewedOnce(t *testing.T) {
	var mu sync.Mutex
	reads := 0
	b, err := newBucket(Options{Bucket: "b", Endpoint: "http://127.0.0.1:1", Keys: func(context.Context) (Keys, error) {
		mu.Lock()
		defer mu.Unlock()
		reads++
		names := []string{"", "old", "new"}
		return Keys{Access: secret.New(names[min(reads, 2)]), Secret: secret.New("s")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	together := make(chan struct{})
	for n := range 8 {
		all.Go(func() {
			first := true
			err := b.try(t.Context(), "test", 0, func(context.Context) error {
				key := b.current().AccessKeyID
				if first {
					first = false
					if n == 7 {
						close(together)
					}
					<-together
				}
				if key == "old" {
					return minio.ErrorResponse{Code: "ExpiredToken", StatusCode: http.StatusForbidden}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if reads != 2 {
		t.Errorf("the keys were read %d times", reads)
	}
}

// TestWhatIsTriedAgain counts how often each failure is met, and reads what is said of it in the end.
func TestWhatIsTriedAgain(t *testing.T) {
	b, err := newBucket(Options{Bucket: "b", Endpoint: "http://127.0.0.1:1", Keys: func(context.Context) (Keys, error) {
		return Keys{Access: secret.New("a"), Secret: secret.New("s")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(code string, status int) error { return minio.ErrorResponse{Code: code, StatusCode: status} }
	for _, c := range []struct {
		err   error
		again bool
		kind  problem.Kind
	}{
		{answer("SlowDown", 503), true, problem.Unreachable},
		{answer("", 500), true, problem.Unreachable},
		{answer("", 429), true, problem.Unreachable},
		{answer("BadDigest", 400), true, problem.Unreachable},
		{errors.New("connection reset"), true, problem.Unreachable},
		{errGarbled, true, problem.Unreachable},
		{answer("QuotaExceeded", 403), false, problem.Unreachable},
		{answer("XMinioStorageFull", 507), false, problem.Unreachable},
		{answer("AccessDenied", 403), false, problem.Unreachable},
		{answer("RequestTimeTooSkewed", 403), false, problem.Unreachable},
		{answer("NoSuchBucket", 404), false, problem.Unreachable},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, false, problem.Unreachable},
		{fmt.Errorf("read the keys: %w", problem.New(problem.Usage, "look at the file", "no such file")), false, problem.Usage},
		{blob.ErrBlobNotFound, false, problem.Failed},
		{blob.ErrInvalidRange, false, problem.Failed},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		n := 0
		err := b.try(ctx, "test", 0, func(context.Context) error { n++; return c.err })
		cancel()
		if n > 1 != c.again {
			t.Errorf("%v was met %d times", c.err, n)
		}
		if !c.again && (problem.KindOf(err) != c.kind || !errors.Is(err, c.err) || problem.HintOf(err) == "" && c.kind != problem.Failed) {
			t.Errorf("%v is told as %v, hint %q", c.err, err, problem.HintOf(err))
		}
	}
}

func TestFits(t *testing.T) {
	sum := []byte("0123456789abcdef")
	for tag, want := range map[string]bool{
		"30313233343536373839616263646566":     true,
		`"30313233343536373839616263646566"`:   true,
		"40313233343536373839616263646566":     false,
		"30313233343536373839616263646566-2":   true, // composed
		"":                                     true,
		"30313233343536373839616263646566abcd": true, // of another kind
	} {
		if got := fits(tag, sum); got != want {
			t.Errorf("tag %q fits: %v", tag, got)
		}
	}
}

// TestNobodyListens gives up on a store at which nobody listens before it gives up on one that is busy.
func TestNobodyListens(t *testing.T) {
	began := time.Now()
	_, err := Open(t.Context(), Options{Bucket: "bucket", Endpoint: "http://127.0.0.1:1", PathStyle: true, Keys: func(context.Context) (Keys, error) {
		return Keys{Access: secret.New("a"), Secret: secret.New("s")}, nil
	}})
	if problem.KindOf(err) != problem.Unreachable || !strings.Contains(problem.HintOf(err), "nobody answers") {
		t.Errorf("it says %v, hint %q", err, problem.HintOf(err))
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}
