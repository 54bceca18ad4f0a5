package cephcmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// TestImageThatDoesNotAnswer asks a stand-in for rbd, which says that it is one and hangs.
func TestImageThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	hangs := "#!/bin/sh\necho 'a stand-in for rbd' >&2\nexec sleep 600\n"
	if err := os.WriteFile(filepath.Join(dir, "rbd"), []byte(hangs), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	defer func(d time.Duration) { answerPatience = d }(answerPatience)
	answerPatience = 200 * time.Millisecond
	_, err := Cluster{Name: "east", On: host.Local{}}.Info(t.Context(), Spec{Pool: "volumes", Image: "a"})
	if problem.KindOf(err) != problem.Unreachable || !strings.Contains(err.Error(), "cluster east did not answer rbd info volumes/a within 200ms") {
		t.Error(err)
	}
}
