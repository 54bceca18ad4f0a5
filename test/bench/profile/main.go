// Command profile is holdfast with a CPU profile: profile FILE ARGUMENT... It shows where a figure of the bench comes
// from.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"

	"holdfast/internal/cli"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: profile FILE ARGUMENT...")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
	os.Exit(code)
}

func run(file string, args []string) (int, error) {
	f, err := os.Create(file)
	if err != nil {
		return 1, err
	}
	defer f.Close()
	debug.SetMemoryLimit(700 << 20) // as the command does
	if err := pprof.StartCPUProfile(f); err != nil {
		return 1, err
	}
	defer pprof.StopCPUProfile()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return cli.Main(ctx, args, cli.SystemEnv()), nil
}
