package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/serve"
	"holdfast/internal/vault"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "tell how well the cloud is protected",
		Long: "Tells for every component how old its newest good copy is in each tier, how many copies there are and where, what was\n" +
			"verified when, and what the last run said of it; then, in a sentence each, which promises are broken.\n" +
			"It ends with 1 when one is, or an image of an instant restore depends on Holdfast, with 5 when a tier cannot be opened, and\n" +
			"with 7 when what it names is known to be damaged.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable, problem.Damage),
		RunE:        func(c *cobra.Command, _ []string) error { return a.status(c.Context()) },
	}
}

func (a *app) status(ctx context.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	instant, err := dependents(cfg)
	if err != nil {
		return err
	}
	a.warnDependents(instant) // before the vault, which may be out of reach
	a.warnUntold(cfg)
	o := coverage.Overview{Cloud: cfg.Cloud, Instant: instant, Others: map[string]int{}}
	o.Tiers, err = a.tierStates(ctx, cfg, func(v *vault.Vault) error {
		a.tellOtherClouds(ctx, cfg, v)
		o.Others = otherClouds(ctx, v)
		stats, err := v.Stats(ctx)
		o.Bytes, o.Free = stats.Bytes, stats.Free
		return err
	})
	if err != nil {
		return errors.Join(err, a.tellBlind(ctx, cfg))
	}
	a.cover(cfg, &o)
	return errors.Join(a.tellStatus(o, a.queueOf(ctx, cfg)), worstBroken(o.Broken), depended(instant))
}

// queueOf is what the daemon does, if there is one that answers.
func (a *app) queueOf(ctx context.Context, cfg *config.Config) *serve.Queue {
	q, err := a.daemonQueue(ctx, cfg.Socket(), a.env.Getenv(job.EnvRun) != "")
	if err != nil {
		a.warn(err.Error())
	}
	return q
}

// tellBlind tells what the daemon does where no tier can be opened. As JSON nothing is: it would be taken for an overview.
func (a *app) tellBlind(ctx context.Context, cfg *config.Config) error {
	if a.json || ctx.Err() != nil {
		return nil
	}
	if q := a.queueOf(ctx, cfg); q != nil {
		return a.tellQueue(*q)
	}
	return nil
}

// cover says of every component where its copies lie, and which promises are broken.
func (a *app) cover(cfg *config.Config, o *coverage.Overview) {
	if _, err := kit.Confirmed(cfg.Kit, cfg.State); err != nil {
		o.Kit = err.Error()
	}
	o.Judge(configured(cfg), cfg.Promised(), a.env.Now().UTC())
}

// statusAnswer is the result of status: beside what is protected, what the daemon does, if there is one.
type statusAnswer struct {
	coverage.Overview
	Daemon *serve.Queue `json:"daemon,omitempty"`
}

func (a *app) tellStatus(o coverage.Overview, q *serve.Queue) error {
	if a.json {
		return a.printJSON(statusAnswer{o, q})
	}
	if err := a.printf("cloud %s: %d points, %s in the vault, %s free\n", o.Cloud, o.Points, report.Size(o.Bytes), report.Size(o.Free)); err != nil {
		return err
	}
	if o.Kit != "" {
		a.warn(o.Kit)
	}
	if o.Points == 0 {
		a.warn("nothing is protected yet: holdfast backup takes the first point")
	}
	if err := a.printf("%s", a.coverTable(o)); err != nil {
		return err
	}
	if q != nil {
		if err := errors.Join(a.printf("\n"), a.tellQueue(*q)); err != nil {
			return err
		}
	}
	return a.tellBroken(o.Broken)
}
