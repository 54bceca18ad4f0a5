package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/retention"
	"holdfast/internal/vault"
)

// pruneOptions are the flags of prune.
type pruneOptions struct {
	dryRun    bool
	exclusive bool
	tier      string
	confirm   int // -1: not given
}

func newPruneCommand(a *app) *cobra.Command {
	var o pruneOptions
	c := &cobra.Command{
		Use:   "prune [TIER]",
		Short: "remove the recovery points that no rule wants any more, and reclaim their space",
		Long: "Tells for every point of every tier, or of TIER, whether the tier's keep wants it to stay and what keeps it all the same, asks,\n" +
			"and removes the others. The newest good copy of anything stays, and what the next tier should have and has not.\n" +
			"Where something changed suddenly --yes does not do: look at the doubts, then give --confirm and how many points may go.\n" +
			"Space comes back later, beside running backups: run prune every few hours, or with --exclusive while nothing else runs.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTier,
		Annotations:       ends(problem.Unreachable, problem.Busy, problem.Damage),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.tier = args[0]
			}
			if !c.Flags().Changed("confirm") {
				o.confirm = -1
			}
			if o.dryRun {
				return a.prune(c.Context(), o)
			}
			return a.inTurn(c.Context(), a.typed(c, args), func(ctx context.Context) error { return a.prune(ctx, o) })
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "remove nothing, only tell")
	c.Flags().BoolVar(&o.exclusive, "exclusive", false, "reclaim the space at once, while nobody else uses the vault")
	c.Flags().IntVar(&o.confirm, "confirm", -1, "remove `N` points in spite of the doubts")
	c.Flags().StringVar(&o.tier, "tier", "", "the tier `NAME` alone")
	a.yesFlag(c.Flags())
	a.turnFlag(c)
	return c
}

// pruned is the result of prune for one tier.
type pruned struct {
	retention.Plan
	Removed           int         `json:"removed"`
	NeedsConfirmation bool        `json:"needs_confirmation"`
	DryRun            bool        `json:"dry_run"`
	Leftovers         []leftover  `json:"leftovers"`
	Reclaim           reclaimable `json:"reclaim"`

	Short bool `json:"short_of_space"`

	memory pruneMemory
	space  *retention.Space
	asked  bool // the plan was shown
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
	if o.confirm >= 0 && len(numbers) > 1 {
		return problem.New(problem.Usage, "holdfast prune TIER --confirm N", "--confirm is for one tier")
	}
	results, failed := []pruned{}, []error{}
	var about []string
	for _, n := range numbers {
		about = append(about, cfg.Tiers[n].Name)
		res, err := a.pruneTier(ctx, cfg, n, o)
		if err != nil {
			failed = append(failed, problem.Wrap(err, "prune tier", cfg.Tiers[n].Name))
		}
		if res != nil {
			results = append(results, *res)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if !o.dryRun {
		a.renewLocks(ctx, cfg, about)
	}
	return errors.Join(a.tellPruned(results), worst(failed))
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

// pruneTier plans what leaves a tier and, unless that is all that is wanted, does it as the vault's owner. A result without an
// error was carried out; with one it tells what was planned.
func (a *app) pruneTier(ctx context.Context, cfg *config.Config, n int, o pruneOptions) (*pruned, error) {
	v, err := a.openVault(ctx, cfg, cfg.Tiers[n])
	if err != nil {
		return nil, err
	}
	defer v.Close(context.WithoutCancel(ctx))
	if o.dryRun {
		return a.planTier(ctx, cfg, n, v, nil)
	}
	lease, err := v.Own(ctx, "prune", o.exclusive)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	_, unlocked := v.ExtendLocks(lease.Context(), false) // the first tier's too, to which nothing is replicated
	res, err := a.pruneOwned(ctx, cfg, n, v, lease, o)
	return res, errors.Join(err, unlocked)
}

// pruneOwned plans, asks, and does.
func (a *app) pruneOwned(ctx context.Context, cfg *config.Config, n int, v *vault.Vault, lease *vault.Lease, o pruneOptions) (*pruned, error) {
	res, err := a.planTier(lease.Context(), cfg, n, v, lease)
	if err != nil {
		return nil, err
	}
	if err := a.mayPrune(ctx, res, o); err != nil {
		return nil, err
	}
	return res, a.carryOut(cfg, n, v, lease, res, o)
}

// planTier decides what is to become of the points of a tier, and of what no point names.
func (a *app) planTier(ctx context.Context, cfg *config.Config, n int, v *vault.Vault, lease *vault.Lease) (*pruned, error) {
	in, memory, err := a.tierInput(ctx, cfg, n, v)
	if err != nil {
		return nil, err
	}
	if lease != nil {
		in.Store = lease.Time()
	} else if in.Points, err = a.staying(ctx, v, in.Points); err != nil {
		return nil, err
	}
	plan, err := retention.Decide(in)
	if err != nil {
		return nil, err
	}
	res := &pruned{Plan: plan, Removed: plan.Removed(), NeedsConfirmation: plan.NeedsConfirmation(), DryRun: lease == nil, memory: memory, space: in.Space, Short: short(in.Space)}
	if res.Leftovers, err = a.leftovers(ctx, n, v, nil); err != nil {
		return nil, err
	}
	res.Reclaim, err = a.reclaimable(ctx, v, res)
	return res, err
}

// staying leaves out the points that leave before a prune plans, since one that was cut off had begun with them.
func (a *app) staying(ctx context.Context, v *vault.Vault, points []retention.Held) ([]retention.Held, error) {
	leaving, err := v.Leaving(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(points, func(h retention.Held) bool {
		leaves := slices.Contains(leaving, h.ID)
		if leaves {
			a.warn("the removal of point " + h.ID + " was cut off, and the next prune of tier " + v.Location().Tier + " ends it")
		}
		return leaves
	}), nil
}
