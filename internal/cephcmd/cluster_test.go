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

// standIn puts a stand-in for rbd, which says that it is one, in its place on this machine.
func standIn(t *testing.T, does string) Cluster {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'a stand-in for rbd' >&2\nhere=" + dir + "\n" + does
	if err := os.WriteFile(filepath.Join(dir, "rbd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return Cluster{Name: "east", On: host.Local{}}
}

// patience sets for how long a test waits for an answer.
func patience(t *testing.T, of *time.Duration, d time.Duration) {
	before := *of
	*of = d
	t.Cleanup(func() { *of = before })
}

func TestImageThatDoesNotAnswer(t *testing.T) {
	c := standIn(t, "exec sleep 600")
	patience(t, &answerPatience, 200*time.Millisecond)
	_, err := c.Info(t.Context(), Spec{Pool: "volumes", Image: "a"})
	if problem.KindOf(err) != problem.Unreachable || !strings.Contains(err.Error(), "cluster east did not answer rbd info volumes/a within 200ms") {
		t.Error(err)
	}
}

// TestListingThatDoesNotAnswer: one image that Ceph opens without end keeps the listing of a pool from its end, and no other image from
// being known.
func TestListingThatDoesNotAnswer(t *testing.T) {
	c := standIn(t, `case "$*" in
*ls\ --long*|*info*stuck*) exec sleep 600 ;;
*snap*) echo '[{"id": 7, "name": "s", "size": 4096}]' ;;
*info*) echo '{"id": "1a", "size": 4096}' ;;
*) echo '["stuck", "whole"]' ;;
esac
`)
	patience(t, &listingPatience, time.Second)
	patience(t, &answerPatience, 2*time.Second)
	got, err := c.Images(t.Context(), "volumes")
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if stuck := got[0]; stuck.Name != "stuck" || problem.KindOf(stuck.Err) != problem.Unreachable {
		t.Errorf("%+v", stuck)
	}
	if whole := got[1]; whole.Name != "whole" || whole.ID != "1a" || len(whole.Snapshots) != 1 || whole.Err != nil {
		t.Errorf("%+v", whole)
	}
}

// TestQuestionThatCrashes: a command that aborts is asked again, but not without end.
func TestQuestionThatCrashes(t *testing.T) {
	c := standIn(t, `echo >>"$here/runs"
[ $(wc -l <"$here/runs") -gt 2 ] || kill -ABRT $$
echo '{"id": "1a"}'
`)
	if got, err := c.Info(t.Context(), Spec{Pool: "volumes", Image: "a"}); err != nil || got.ID != "1a" {
		t.Errorf("%+v, %v", got, err)
	}
	always := standIn(t, "kill -SEGV $$")
	if _, err := always.Info(t.Context(), Spec{Pool: "volumes", Image: "a"}); !crashed(err) {
		t.Error(err)
	}
}
