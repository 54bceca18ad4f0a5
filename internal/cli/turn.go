package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/serve"
)

// turnFlag gives a command the flag by which it does not wait for its turn.
func (a *app) turnFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.noWait, "no-wait", false, "end with 6 if the daemon does something that this would have to wait for")
}

// inTurn does a command when the daemon, if there is one, gives it its turn, and tells the daemon what came of it. A step of the
// daemon's own has its turn already.
func (a *app) inTurn(ctx context.Context, args []string, do func(context.Context) error) error {
	if a.env.Getenv(job.EnvRun) != "" {
		return do(ctx)
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	client, err := serve.Connect(cfg.Socket())
	if err != nil {
		return do(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	held, err := client.Turn(ctx, a.ask(cfg, args), func(what string) { a.say("waits for its turn, behind " + what) },
		func() {
			cancel(problem.New(problem.Interrupted, "", "an operator stopped it by holdfast queue cancel"))
		})
	switch {
	case errors.Is(err, serve.ErrNone):
		a.warn("the daemon does not answer, the work is done without it: " + strings.TrimPrefix(oneLine(err.Error()), serve.ErrNone.Error()+"; "))
		return do(ctx)
	case err != nil:
		return err
	}
	began := a.env.Now().UTC()
	err = do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if end := held.End(ctx, a.result(ctx, cfg, args, began, err)); end != nil {
		a.warn("the daemon was not told how it ended: " + end.Error())
	}
	return err
}

// ask is how the command asks for its turn.
func (a *app) ask(cfg *config.Config, args []string) serve.Ask {
	return serve.Ask{Job: a.env.Getenv(job.EnvJob), Args: args, Uses: job.Uses(cfg, args), NoWait: a.noWait}
}

// result is what came of a command that was typed.
func (a *app) result(ctx context.Context, cfg *config.Config, args []string, began time.Time, err error) job.Result {
	s := job.NewStep(cfg, args)
	res := job.Result{
		Args: args, Sources: s.Sources(), Started: began, Finished: a.env.Now().UTC(),
		Point: a.came.Point, Whole: a.came.Whole, Read: a.came.Read, New: a.came.New,
	}
	if t := s.Tiers(); len(t) == 1 {
		res.Tier = t[0]
	}
	if err != nil {
		res.Exit, res.Kind = exitCode(kindOf(ctx, err))
		res.Error, res.Hint = oneLine(err.Error()), problem.HintOf(err)
	}
	return res
}

// manner are the flags that say how something is done and not what.
var manner = []string{"yes", "no-wait", "retry", "parallel", "limit"}

// typed is a command line as the daemon names it: the command, its arguments, and the flags that say what is done.
func (a *app) typed(c *cobra.Command, args []string) []string {
	line := append(strings.Fields(c.CommandPath())[1:], args...)
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && !slices.Contains(manner, f.Name) {
			line = append(line, flagWords(f)...)
		}
	})
	return line
}

// flagWords are a flag as it is typed.
func flagWords(f *pflag.Flag) (words []string) {
	values := []string{f.Value.String()}
	if all, ok := f.Value.(pflag.SliceValue); ok {
		values = all.GetSlice()
	}
	for _, v := range values {
		switch {
		case f.Value.Type() != "bool":
			words = append(words, "--"+f.Name, v)
		case v == "true":
			words = append(words, "--"+f.Name)
		}
	}
	return words
}
