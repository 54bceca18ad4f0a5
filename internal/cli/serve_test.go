package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/config"
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

// TestInstantRestoresAreGoneOnWith: one whose process is about to end once that has ended, and whatever another record is like; why one
// cannot be gone on with is told.
func TestInstantRestoresAreGoneOnWith(t *testing.T) {
	was := serveAgain
	serveAgain = 10 * time.Millisecond
	defer func() { serveAgain = was }()
	a, _, stderr := testApp("")
	state := t.TempDir()
	dir := filepath.Join(state, "instant")
	write := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(name, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("abc.json", `{"id": "abc", "target": "vms/a"}`, 0o600)
	write("broken.json", "{", 0o600)
	held, err := os.Open(write("abc.lock", "", 0o600))
	if err == nil {
		err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	program := write("holdfast", "#!/bin/sh\necho \"$@\" >"+dir+"/did\necho '{\"error\": \"the point is gone\"}' >&2\nexit 4\n", 0o700)
	wait := a.resumeInstant(t.Context(), &config.Config{State: state}, job.Runner{Program: program, Now: time.Now, Kind: func(int) string { return "not_found" }})
	time.Sleep(10 * serveAgain)
	if _, err := os.Stat(dir + "/did"); err == nil {
		t.Error("it is gone on with while another process serves it")
	}
	held.Close()
	wait()
	if did, err := os.ReadFile(dir + "/did"); err != nil || string(did) != "restore resume abc --json\n" {
		t.Errorf("did %q, %v", did, err)
	}
	for _, want := range []string{"broken.json", "vms/a cannot be read until it is served", "restore resume abc: the point is gone"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in %s", want, stderr)
		}
	}
}
