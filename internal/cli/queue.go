package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/serve"
)

func newQueueCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "show what the daemon does, and what is next",
		Long: "Shows what runs and what waits for what, what failed and is tried again, and when each job begins next and how it ended last.\n" +
			"A time is that of UTC.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.queue(c.Context()) },
	}
	c.AddCommand(&cobra.Command{
		Use: "run JOB", Short: "have the daemon do a job now", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeJob, Annotations: ends(problem.Busy),
		RunE: func(c *cobra.Command, args []string) error { return a.queueRun(c.Context(), args[0]) },
	}, &cobra.Command{
		Use: "cancel RUN", Short: "stop a run, or take it out of the queue", Args: cobra.ExactArgs(1), Annotations: ends(problem.NotFound),
		RunE: func(c *cobra.Command, args []string) error { return a.queueCancel(c.Context(), args[0]) },
	}, &cobra.Command{
		Use: "results", Short: "tell what came of the last steps", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.queueResults(c.Context()) },
	})
	return c
}

// daemon speaks to the daemon, which has to be there.
func (a *app) daemon() (*serve.Client, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	client, err := serve.Connect(cfg.Socket())
	if err != nil {
		return nil, problem.New(problem.Failed, "holdfast serve is one (systemctl start holdfast); holdfast run JOB does a job without", "no daemon listens at %s", cfg.Socket())
	}
	return client, nil
}

func (a *app) queue(ctx context.Context) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	q, err := client.Queue(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(q)
	}
	return a.tellQueue(q)
}

func (a *app) tellQueue(q serve.Queue) error {
	for _, text := range q.Troubles {
		a.warn(text)
	}
	runs := report.NewTable("RUN", "JOB", "STATE", "COMMAND", "STEP", "SINCE", "WAITS FOR")
	for _, r := range q.Runs {
		since := r.Queued
		if r.State == serve.Running {
			since = r.Started
		}
		runs.Row(r.Run, r.Job, r.State, strings.Join(r.Args, " "), fmt.Sprintf("%d of %d", r.Step, r.Steps), since.Format(dateTime), r.Behind)
	}
	text := "nothing runs and nothing waits\n"
	if runs.Len() > 0 {
		text = runs.String()
	}
	for _, t := range q.Tries {
		text += fmt.Sprintf("again at %s, for the %s time: %s of job %s\n", t.At.Format(dateTime), ordinal(t.Try), strings.Join(t.Args, " "), t.Job)
	}
	return a.printf("%s\n%s", text, nextTable(q))
}

func nextTable(q serve.Queue) *report.Table {
	next := report.NewTable("JOB", "WHEN", "NEXT", "LAST", "CAME OF IT")
	for _, n := range q.Next {
		at, last, came := "never", "", ""
		if n.At != nil {
			at = n.At.Format(dateTime)
		}
		if n.Last != nil {
			last, came = n.Last.Started.UTC().Format(dateTime), outcome(*n.Last)
			if !n.Last.Good() {
				came = n.Last.Step() + " " + came
			}
		}
		next.Row(n.Job, n.When, at, last, came)
	}
	return next
}

func ordinal(n int) string {
	if names := []string{"", "first", "second", "third"}; n < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%dth", n)
}

func (a *app) queueRun(ctx context.Context, name string) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	run, err := client.Run(ctx, name)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"run": run})
	}
	return a.printf("job %s is in the queue as run %s\n", name, run)
}

func (a *app) queueCancel(ctx context.Context, run string) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	if err := client.Cancel(ctx, run); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"canceled": run})
	}
	return a.printf("run %s is being stopped\n", run)
}

// mostTold is how many results are shown.
const mostTold = 50

func (a *app) queueResults(ctx context.Context) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	all, err := client.Results(ctx, mostTold)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(all)
	}
	t := report.NewTable("STARTED", "TOOK", "RUN", "JOB", "COMMAND", "CAME OF IT").AlignRight("TOOK")
	for _, r := range all {
		t.Row(r.Started.UTC().Format(dateTime), report.Span(r.Finished.Sub(r.Started)), r.Run, r.Job, strings.Join(r.Args, " "), outcome(r))
	}
	return a.printf("%s", t)
}

// daemonQueue is what the daemon does, for status; nil when there is none, or this is its own question.
func (a *app) daemonQueue(ctx context.Context, socket string, own bool) (*serve.Queue, error) {
	if own {
		return nil, nil
	}
	client, err := serve.Connect(socket)
	if errors.Is(err, serve.ErrNone) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q, err := client.Queue(ctx)
	if err != nil {
		return nil, fmt.Errorf("the daemon does not answer: %w", err)
	}
	return &q, nil
}
