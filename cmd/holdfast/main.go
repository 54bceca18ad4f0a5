// Command holdfast backs up an OpenStack cloud and brings it back.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"

	"holdfast/internal/cli"
)

// memoryLimit keeps the collector from letting the heap grow to twice what is alive when the vault's buffers are large.
const memoryLimit = 700 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go stopOnSignal(cancel)
	os.Exit(cli.Main(ctx, os.Args[1:], environment()))
}

// stopOnSignal ends the work on the first signal, which lets it clean up, and the process on the second.
func stopOnSignal(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cancel(fmt.Errorf("%w: %s", context.Canceled, <-signals))
	<-signals
	os.Exit(130)
}

func environment() cli.Env {
	return cli.Env{
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Getenv: os.Getenv,
		IsTerminal: func(stream any) bool {
			f, ok := stream.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
		Size: func() (width, height int) {
			width, height, err := term.GetSize(int(os.Stderr.Fd()))
			if err != nil {
				return 0, 0
			}
			return width, height
		},
		Now: time.Now,
	}
}
