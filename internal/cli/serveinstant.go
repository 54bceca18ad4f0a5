package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/restore"
)

// serveAgain is after which time an instant restore is gone on with again that could not be.
const serveAgain = time.Minute

// resumeInstant goes on with the instant restores that were cut off, until ctx ends: their images can be read again at once. Each is a
// process of its own, and wait waits for their ends.
func (a *app) resumeInstant(ctx context.Context, cfg *config.Config, steps job.Runner) (wait func()) {
	all, err := restore.Dependents(cfg.State)
	if err != nil {
		a.warn(err.Error())
	}
	steps.Env = append(slices.Clone(steps.Env), job.EnvRun+"=resume")
	var going sync.WaitGroup
	for _, d := range all {
		if !d.Held() {
			going.Go(func() { a.goOn(ctx, d, steps) })
		}
	}
	return going.Wait
}

// goOn ends when the restore does, or when somebody stops it, who means to.
func (a *app) goOn(ctx context.Context, d restore.Dependent, steps job.Runner) {
	stopped, _ := exitCode(problem.Interrupted)
	gone, _ := exitCode(problem.NotFound)
	over := []int{stopped, gone}
	again := time.NewTicker(serveAgain)
	defer again.Stop()
	for {
		args := []string{"restore", "resume", d.ID}
		a.say(fmt.Sprintf("holdfast %s: %s cannot be read until it is served", strings.Join(args, " "), d.Target))
		res := steps.Run(ctx, job.Step{Args: args}, nil, job.Watch{})
		if res.Good() || slices.Contains(over, res.Exit) {
			return
		}
		a.say(fmt.Sprintf("holdfast %s: %s", strings.Join(args, " "), res.Error))
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}
