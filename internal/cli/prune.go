package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/retention"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// pruneOptions are the flags of prune.
type pruneOptions struct {
	dryRun bool
	tier   string
}

func newPruneCommand(a *app) *cobra.Command {
	var o pruneOptions
	c := &cobra.Command{
		Use:   "prune",
		Short: "tell which recovery points would leave which tier, and why",
		Long: "Tells for every point of every tier whether the tier's keep wants it to stay, what keeps it all the same, and what speaks\n" +
			"against removing all of that at once. This version removes nothing: --dry-run is required.",
		Args:        noArgs,
		Annotations: ends(problem.Unreachable, problem.Damage),
		RunE: func(c *cobra.Command, _ []string) error {
			if !o.dryRun {
				return problem.New(problem.Usage, "add --dry-run to see what would leave", "this version of prune removes nothing")
			}
			return a.prune(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "remove nothing")
	c.Flags().StringVar(&o.tier, "tier", "", "look at the tier `NAME` alone")
	return c
}

// pruned is the result of prune for one tier.
type pruned struct {
	retention.Plan
	Removed           int  `json:"removed"`
	NeedsConfirmation bool `json:"needs_confirmation"`
	DryRun            bool `json:"dry_run"`
}

func (a *app) prune(ctx context.Context, o pruneOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	numbers, err := chosenTiers(cfg, o.tier)
	if err != nil {
		return err
	}
	results, failed := []pruned{}, []error{}
	for _, n := range numbers {
		plan, err := a.planTier(ctx, cfg, n)
		if err != nil {
			failed = append(failed, problem.Wrap(err, "plan what leaves tier", cfg.Tiers[n].Name))
			continue
		}
		results = append(results, pruned{plan, plan.Removed(), plan.NeedsConfirmation(), true})
	}
	return errors.Join(append(failed, a.tellPruned(results))...)
}

// chosenTiers are the numbers of the tiers that a command is about: of the one that is named, or all.
func chosenTiers(cfg *config.Config, name string) (numbers []int, err error) {
	for i, t := range cfg.Tiers {
		if name == "" || t.Name == name {
			numbers = append(numbers, i)
		}
	}
	if len(numbers) == 0 {
		return nil, problem.New(problem.Usage, "the tiers are those of "+cfg.File, "no tier is named %q", name)
	}
	return numbers, nil
}

func (a *app) planTier(ctx context.Context, cfg *config.Config, n int) (retention.Plan, error) {
	v, err := a.openVault(ctx, cfg, cfg.Tiers[n])
	if err != nil {
		return retention.Plan{}, err
	}
	defer v.Close(context.WithoutCancel(ctx))
	in, err := a.tierInput(ctx, cfg, n, v)
	if err != nil {
		return retention.Plan{}, err
	}
	return retention.Decide(in)
}

// tierInput gathers what is known of the points in a tier. No tier is known to have verified copies of another one's points.
func (a *app) tierInput(ctx context.Context, cfg *config.Config, n int, v *vault.Vault) (in retention.Input, err error) {
	points, err := v.Points(ctx)
	if err != nil {
		return in, err
	}
	stats, err := v.Stats(ctx)
	if err != nil {
		return in, err
	}
	tier := cfg.Tiers[n]
	in = retention.Input{
		Tier: tier.Name, Keep: tier.Keep, Last: cfg.Tiers[len(cfg.Tiers)-1].Keep, Now: a.env.Now(),
		Space: &retention.Space{Free: stats.Free, Capacity: stats.Capacity, Reserve: tier.Reserve},
	}
	if n+1 < len(cfg.Tiers) {
		in.Next = &retention.Next{Tier: cfg.Tiers[n+1].Name}
	}
	found := verify.Findings{}
	if n == 0 { // verify reads the first tier
		found = a.findings(cfg)
	}
	in.Points = heldPoints(points, found)
	in.Holds, err = v.Holds(ctx)
	return in, err
}

func heldPoints(points []point.Point, found verify.Findings) (all []retention.Held) {
	for _, p := range points {
		all = append(all, retention.Held{Point: p, Damaged: found[p.ID].Damaged > 0})
	}
	return all
}

func (a *app) tellPruned(results []pruned) error {
	if a.json && len(results) > 0 {
		return a.printJSON(results)
	}
	for i, r := range results {
		if i > 0 {
			if err := a.printf("\n"); err != nil {
				return err
			}
		}
		if err := a.printf("%stier %s: of %d points %d would leave\n", report.Retention(r.Plan), r.Tier, len(r.Decisions), r.Removed); err != nil {
			return err
		}
		for _, d := range r.Doubts {
			if err := a.printf("look before anything is removed: %s\n", d.Text); err != nil {
				return err
			}
		}
	}
	return nil
}
