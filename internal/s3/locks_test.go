package s3

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// TestLockedAnswers tells what stores answer to who touches what is locked: RGW and AWS refuse it, MinIO calls it a wrong request.
func TestLockedAnswers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("no answer"), false},
		{minio.ErrorResponse{StatusCode: http.StatusForbidden, Code: "AccessDenied"}, true},
		{fmt.Errorf("wrapped: %w", minio.ErrorResponse{StatusCode: http.StatusForbidden}), true},
		{minio.ErrorResponse{StatusCode: http.StatusBadRequest, Code: "InvalidRequest", Message: "Object is WORM protected and cannot be overwritten"}, true},
		{minio.ErrorResponse{StatusCode: http.StatusBadRequest, Code: "InvalidRequest", Message: "Bucket is missing ObjectLockConfiguration"}, false},
		{minio.ErrorResponse{StatusCode: http.StatusServiceUnavailable, Code: "SlowDown"}, false},
	} {
		if got := locked(c.err); got != c.want {
			t.Errorf("%v: locked = %v", c.err, got)
		}
	}
}

// TestCovered tells the lifecycle rules that are for all objects of a vault.
func TestCovered(t *testing.T) {
	b := &Bucket{o: Options{Prefix: "prod/"}}
	tag := lifecycle.Tag{Key: "class", Value: "old"}
	for _, c := range []struct {
		rule lifecycle.Rule
		want bool
	}{
		{lifecycle.Rule{}, true},
		{lifecycle.Rule{Prefix: "prod/"}, true},
		{lifecycle.Rule{Prefix: "other/"}, false},
		{lifecycle.Rule{RuleFilter: lifecycle.Filter{Prefix: "other/"}}, false},
		{lifecycle.Rule{RuleFilter: lifecycle.Filter{And: lifecycle.And{Prefix: "other/"}}}, false},
		{lifecycle.Rule{RuleFilter: lifecycle.Filter{And: lifecycle.And{Prefix: "prod/"}}}, true},
		{lifecycle.Rule{RuleFilter: lifecycle.Filter{Tag: tag}}, false},
		{lifecycle.Rule{RuleFilter: lifecycle.Filter{And: lifecycle.And{Prefix: "prod/", Tags: []lifecycle.Tag{tag}}}}, false},
	} {
		if got := b.covered(c.rule); got != c.want {
			t.Errorf("%+v: covered = %v", c.rule.RuleFilter, got)
		}
	}
}
