package cli

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/job"
	"holdfast/internal/serve"
)

// TestStoppedDrillIsSwept: what a drill restored that an operator stops is removed, also where an engine has to be asked for its
// containers.
func TestStoppedDrillIsSwept(t *testing.T) {
	a, _, stderr := testApp("")
	state := t.TempDir()
	dir := filepath.Join(state, "drills/one")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "engine"), []byte("true"), 0o600); err != nil { // which has none
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := commands{a, job.Runner{Program: "false", Now: time.Now, Kind: func(int) string { return "failed" }}, state}
	c.Step(ctx, serve.Run{}, job.Step{Args: []string{"drill", "mariadb"}}, job.Watch{})
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("it is still there: %s", stderr)
	}
}
