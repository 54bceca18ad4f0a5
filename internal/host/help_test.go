package host_test

import (
	"strings"
	"testing"

	"holdfast/internal/problem"
)

// wantHint fails unless err is a problem whose hint holds word.
func wantHint(t *testing.T, err error, word string) {
	t.Helper()
	if err == nil || !strings.Contains(problem.HintOf(err), word) {
		t.Errorf("error %v has hint %q, want one with %q", err, problem.HintOf(err), word)
	}
}
