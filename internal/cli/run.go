package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"crypto/rand"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/serve"
)

func newRunCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run JOB",
		Short: "do the steps of a job once, here and now",
		Long: "Does the steps of a job of the schedule in the foreground, with the same alerts and metrics: that is what a timer calls where\n" +
			"no daemon is wanted. If there is a daemon, each step waits for its turn. What fails does not keep other tiers from theirs.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeJob,
		Annotations:       ends(problem.Partial, problem.NotFound, problem.Unreachable, problem.Busy, problem.Damage),
		RunE:              func(c *cobra.Command, args []string) error { return a.run(c.Context(), args[0]) },
	}
}

func (a *app) run(ctx context.Context, name string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	chain, err := jobNamed(cfg, name)
	if err != nil {
		return err
	}
	var v *voices
	if _, err := serve.Connect(cfg.Socket()); err != nil { // else the daemon's hear of it
		v = a.newVoices(cfg)
	}
	results := a.runSteps(ctx, cfg, chain, v)
	if v != nil {
		a.speak(ctx, cfg, v)
	}
	return errors.Join(a.tellRun(results), verdictOf(results))
}

// fewWords is how long telling may take where something waits for its end.
const fewWords = 20 * time.Second

// speak tells what is protected after a run, and waits until everybody was told. Of one that was stopped, as a timer does whose time is
// over, only what is known is told.
func (a *app) speak(ctx context.Context, cfg *config.Config, v *voices) {
	if ctx.Err() == nil {
		if o, err := overviewBy(ctx, a.runner(cfg)); err == nil {
			v.Overview(*o)
		} else {
			a.warn("what is protected cannot be told: " + err.Error())
		}
	}
	if ctx.Err() != nil {
		var done func()
		ctx, done = context.WithTimeout(context.WithoutCancel(ctx), fewWords)
		defer done()
	}
	if err := v.people.Flush(ctx); err != nil {
		a.warn("not everybody was told: " + err.Error())
	}
}

// runSteps does the steps one after the other.
func (a *app) runSteps(ctx context.Context, cfg *config.Config, chain job.Job, v *voices) (results []job.Result) {
	runner := a.runner(cfg)
	runner.Env = []string{job.EnvJob + "=" + chain.Name}
	id := strings.ToLower(rand.Text()[:8])
	if v != nil {
		defer v.Ends(chain.Name, id)
		defer v.begin(ctx, chain.Name, id)()
	}
	for _, s := range chain.Steps {
		if s.Blocked(results) {
			a.warn(strings.Join(s.Args, " ") + " is left out: what it builds on failed")
			continue
		}
		display := a.progress()
		res := runner.Run(ctx, s, nil, job.Watch{Event: display.Listen})
		display.Close()
		res.Run, res.Job, res.Try = id, chain.Name, 1
		results = append(results, res)
		if v != nil {
			v.Result(res)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return results
}

func (a *app) tellRun(results []job.Result) error {
	if a.json {
		return a.printJSON(results)
	}
	t := report.NewTable("STEP", "TOOK", "CAME OF IT").AlignRight("TOOK")
	for _, r := range results {
		t.Row(strings.Join(r.Args, " "), report.Span(r.Finished.Sub(r.Started)), outcome(r))
	}
	return a.printf("%s", t)
}

// outcome says in a word or a sentence what came of a step.
func outcome(r job.Result) string {
	if r.Good() {
		return strings.TrimSpace("done " + r.Point)
	}
	text := strings.ReplaceAll(r.Kind, "_", " ")
	if r.Error != "" {
		text += ": " + r.Error
	}
	if !r.Again.IsZero() {
		text += "; again at " + r.Again.UTC().Format(dateTime)
	}
	return text
}

// verdictOf ends with the kind of the first step that failed.
func verdictOf(results []job.Result) error {
	i := slices.IndexFunc(results, func(r job.Result) bool { return !r.Good() })
	if i < 0 {
		return nil
	}
	kind := problem.Failed
	for _, e := range exits {
		if e.name == results[i].Kind {
			kind = e.kind
		}
	}
	return problem.New(kind, results[i].Hint, "%s: %s", strings.Join(results[i].Args, " "), results[i].Error)
}

// jobNamed is the chain of a job of the schedule.
func jobNamed(cfg *config.Config, name string) (job.Job, error) {
	var names []string
	for _, j := range cfg.Jobs() {
		if j.Name == name {
			return job.Of(cfg, j), nil
		}
		names = append(names, j.Name)
	}
	return job.Job{}, problem.New(problem.Usage, fmt.Sprintf("the jobs are: %s", strings.Join(names, ", ")), "there is no job %q", name)
}

// completeJob offers the jobs of the schedule.
func (a *app) completeJob(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if cfg, err := a.config(); err == nil && len(args) == 0 {
		for _, j := range cfg.Jobs() {
			names = append(names, j.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
