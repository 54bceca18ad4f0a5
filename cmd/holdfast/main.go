// Command holdfast backs up an OpenStack cloud and brings it back.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"holdfast/internal/cli"
)

// memoryLimit, in bytes, makes the collector work harder before the vault's buffers double what is really in use.
const memoryLimit = 700 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(cli.Main(untilSignal(context.Background()), os.Args[1:], cli.SystemEnv()))
}

// untilSignal returns a context that the first SIGINT or SIGTERM cancels, so that the work can clean up. The second
// ends the process.
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		cancel(fmt.Errorf("%w: %s", context.Canceled, <-signals))
		<-signals
		os.Exit(130)
	}()
	return ctx
}
