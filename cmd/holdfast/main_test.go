package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestMain runs this binary as a program that works until a signal cancels it and then never finishes cleaning up.
func TestMain(m *testing.M) {
	if os.Getenv("HOLDFAST_TEST_STUCK") == "" {
		os.Exit(m.Run())
	}
	ctx := untilSignal(context.Background())
	fmt.Println("working")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	time.Sleep(time.Minute)
	os.Exit(1)
}

func TestSignals(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "HOLDFAST_TEST_STUCK=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i, want := range []string{"working", "context canceled: terminated"} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("line %d: %q, want %q", i, lines.Text(), want)
		}
		cmd.Process.Signal([]os.Signal{syscall.SIGTERM, os.Interrupt}[i])
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("after the second signal: %v, want exit 130", err)
	}
}
