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
var serveAgain = time.Minute

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
		going.Go(func() { a.goOn(ctx, d, steps) })
	}
	return going.Wait
}

// goOn ends when the restore does, or when somebody stops it, who means to. As long as another process serves the image, such as one of
// the daemon before that is about to end, it waits.
func (a *app) goOn(ctx context.Context, d restore.Dependent, steps job.Runner) {
	again := time.NewTicker(serveAgain)
	defer again.Stop()
	for !d.Over() {
		if !d.Held() && a.resumeOnce(ctx, d, steps) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// resumeOnce goes on with an instant restore, and reports whether there is nothing to go on with any more.
func (a *app) resumeOnce(ctx context.Context, d restore.Dependent, steps job.Runner) (over bool) {
	args := []string{"restore", "resume", d.ID}
	a.say(fmt.Sprintf("holdfast %s: %s cannot be read until it is served", strings.Join(args, " "), d.Target))
	res := steps.Run(ctx, job.Step{Args: args}, nil, job.Watch{})
	stopped, _ := exitCode(problem.Interrupted)
	if res.Good() || res.Exit == stopped {
		return true
	}
	a.say(fmt.Sprintf("holdfast %s: %s", strings.Join(args, " "), res.Error))
	gone, _ := exitCode(problem.NotFound)
	return res.Exit == gone
}
