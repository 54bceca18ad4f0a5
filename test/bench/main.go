// Command bench measures Holdfast against the commands that operators use today, on a lab with real servers and on one
// machine in one run, and prints each figure beside the bar it must reach. It needs root, for the lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"holdfast/internal/lab"
)

type options struct {
	holdfast, dir, doc string
	mib, pairs         int
	run                *regexp.Regexp
}

func main() {
	o := options{run: regexp.MustCompile("")}
	flag.StringVar(&o.holdfast, "holdfast", "bin/holdfast", "the command to measure")
	flag.StringVar(&o.dir, "dir", ".bench", "directory for the lab and the vaults, on the disk to measure; removed afterwards")
	flag.StringVar(&o.doc, "doc", "", "write the figures into this document, between its marks")
	flag.IntVar(&o.mib, "mib", 1024, "size of the bulk data in the database")
	flag.IntVar(&o.pairs, "pairs", 5, "pairs of runs of which the median counts")
	flag.Func("run", "run only the measurements whose name matches this expression", func(s string) (err error) {
		o.run, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run brings the labs up one after the other, measures on each, and reports even when a measurement failed.
func run(ctx context.Context, o options) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if o.holdfast, err = filepath.Abs(o.holdfast); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	machine := describeMachine(ctx, dir, o)
	databases, images, stores := &results{group: "databases", machine: machine}, &results{group: "images", machine: machine}, &results{group: "stores", machine: machine}
	ceph := lab.Options{Ceph: true, EmptyPools: true}
	err = errors.Join(
		measure(ctx, o, dir, lab.Options{Galera: 3, BulkMiB: o.mib}, bareMeasurements, databases),
		measure(ctx, o, dir, lab.Options{Galera: 3, BulkMiB: o.mib, Containers: true}, containerMeasurements, databases),
		measure(ctx, o, dir, ceph, imageMeasurements, images),
		measure(ctx, o, dir, ceph, storeMeasurements, stores))
	for _, r := range []*results{databases, images, stores} {
		r.print(os.Stdout)
		if o.doc != "" && ctx.Err() == nil {
			err = errors.Join(err, r.writeInto(o.doc))
		}
	}
	return err
}

// measurement is one line, or a few that belong together, of the report.
type measurement struct {
	name string
	do   func(*bench) error
}

// measure runs the chosen measurements on a lab of their own. One that fails does not keep the others from running.
func measure(ctx context.Context, o options, dir string, lo lab.Options, all []measurement, r *results) error {
	var chosen []measurement
	for _, m := range all {
		if o.run.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	b, err := setUp(ctx, o, dir, lo, r)
	if err != nil {
		return fmt.Errorf("bring up a lab: %w", err)
	}
	defer b.tearDown()
	var failed []error
	for _, m := range chosen {
		b.say("== %s (load %s)", m.name, loadAverage())
		began := time.Now()
		if err := m.do(b); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
			b.say("%v", failed[len(failed)-1])
		}
		b.say("   took %.0f s", time.Since(began).Seconds())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	b.reportMemory()
	return errors.Join(failed...)
}
