package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/vault"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	percent float64
	quick   bool
	full    bool
	all     bool
	heal    bool
	given   bool // how much to read
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [POINT]",
		Short: "prove that a recovery point can be read, and heal what is damaged",
		Long: "Looks for everything a point consists of and compares it with the point's manifest: every file, every piece of it, every\n" +
			"pack and its length. A share of the data is read back, decrypted and compared with its hash. With --all that is what was not\n" +
			"read for the longest, and so much of it that all is read within promises.read of the configuration.\n" +
			"With --heal what is found damaged is written anew from the other tiers, which have the same pieces under the same names.",
		Args:              cobra.MaximumNArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Busy, problem.Damage),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			if o.all && len(args) > 0 {
				return problem.New(problem.Usage, "leave one of them out", "--all and a point exclude each other")
			}
			o.given = o.quick || o.full || c.Flags().Changed("percent")
			return a.inTurn(c.Context(), a.typed(c, args), func(ctx context.Context) error {
				return a.verify(ctx, cmp.Or(strings.Join(args, ""), "latest"), o)
			})
		},
	}
	a.tierFlag(c)
	a.turnFlag(c)
	c.Flags().Float64Var(&o.percent, "percent", 5, "read this `SHARE` of the data back, taken at random")
	c.Flags().BoolVar(&o.quick, "quick", false, "read none of it back: only look for everything")
	c.Flags().BoolVar(&o.full, "full", false, "read all of it back")
	c.Flags().BoolVar(&o.all, "all", false, "verify every point")
	c.Flags().BoolVar(&o.heal, "heal", false, "write anew what is damaged and another tier has")
	c.MarkFlagsMutuallyExclusive("percent", "quick", "full")
	return c
}

func (a *app) verify(ctx context.Context, name string, o verifyOptions) error {
	switch {
	case o.full:
		o.percent = 100
	case o.quick:
		o.percent = 0
	}
	if o.percent < 0 || o.percent > 100 {
		return problem.New(problem.Usage, "", "--percent must be from 0 to 100")
	}
	if o.heal && a.at != "" {
		return problem.New(problem.Usage, "holdfast undelete TIER takes deletions back", "--at reads what was, and nothing can be healed there")
	}
	if o.heal {
		return a.heal(ctx, name, o)
	}
	return a.withVault(ctx, func(cfg *config.Config, v *vault.Vault) error {
		id, err := chosenPoint(ctx, v, name, o.all)
		if err != nil {
			return err
		}
		plan, err := a.planVerify(ctx, cfg, v, o)
		if err != nil {
			return err
		}
		r, err := v.Verify(ctx, id, plan.opts)
		if err != nil && problem.KindOf(err) != problem.Damage {
			return err
		}
		a.came.Read = r.ReadBytes
		return errors.Join(a.remember(cfg, r, plan), a.tellVerified(r), damage(r))
	})
}

// chosenPoint returns the id of the point that an operator names, "" for all of them.
func chosenPoint(ctx context.Context, v *vault.Vault, name string, all bool) (string, error) {
	if all {
		return "", nil
	}
	points, err := v.Points(ctx)
	if err != nil {
		return "", err
	}
	if len(points) == 0 {
		return "", problem.New(problem.NotFound, "holdfast backup takes a point; if there were some, holdfast verify --all --heal looks for them",
			"there is no point to verify")
	}
	p, err := point.Select(points, name)
	return p.ID, err
}

const damageHint = "what is named above cannot be restored from this vault, and what is not named can; holdfast verify --heal brings it " +
	"from another tier, and the next backup writes anew what its sources still hold of it, which mends these points too"

// damage is a problem when something is damaged.
func damage(r vault.Report) error {
	var all []error
	for _, p := range r.Each {
		if p.Damaged > 0 {
			all = append(all, fmt.Errorf("point %s: %d damaged", p.Point, p.Damaged))
		}
	}
	if len(r.Damaged) > 0 && len(all) == 0 {
		all = append(all, errors.New(r.Damaged[0].What))
	}
	if len(all) == 0 {
		return nil
	}
	return problem.New(problem.Damage, damageHint, "%w", errors.Join(all...))
}
