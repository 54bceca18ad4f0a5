package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/vault"
)

func newHoldCommand(a *app) *cobra.Command {
	var reason, tier string
	c := &cobra.Command{
		Use:   "hold POINT --reason TEXT",
		Short: "keep a recovery point from being removed",
		Long: "Keeps a recovery point from being removed, in every tier that has it, whatever the tiers' keep says, until it is released.\n" +
			"The hold stands in the vaults, so that every host sees it.",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Partial),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" || strings.ContainsFunc(reason, unicode.IsControl) {
				return problem.New(problem.Usage, "whoever wants to release it will read it", "--reason must be a line of text")
			}
			h := &point.Hold{Reason: reason, By: a.operator(), At: a.env.Now().UTC()}
			return a.setHold(c.Context(), tier, args[0], h, func(v *vault.Vault, id string) error { return v.Hold(c.Context(), id, *h) })
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "say why, in `TEXT`")
	c.MarkFlagRequired("reason")
	c.Flags().StringVar(&tier, "tier", "", "in the tier `NAME` alone")
	return c
}

func newReleaseCommand(a *app) *cobra.Command {
	var tier string
	c := &cobra.Command{
		Use:               "release POINT",
		Short:             "end the hold of a recovery point",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Partial),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			return a.setHold(c.Context(), tier, args[0], nil, func(v *vault.Vault, id string) error { return v.Release(c.Context(), id) })
		},
	}
	c.Flags().StringVar(&tier, "tier", "", "in the tier `NAME` alone")
	return c
}

// heldIn is the result of hold and of release for one tier.
type heldIn struct {
	Point string      `json:"point"`
	Tier  string      `json:"tier"`
	Hold  *point.Hold `json:"hold"` // nil: it was released
}

// setHold holds or releases a point in the tiers that have it, and tells in which ones.
func (a *app) setHold(ctx context.Context, tier, name string, h *point.Hold, do func(v *vault.Vault, id string) error) error {
	done := []heldIn{}
	err := a.inTiers(ctx, tier, name, func(v *vault.Vault, id string) error {
		err := do(v, id)
		if err == nil {
			done = append(done, heldIn{id, v.Location().Tier, h})
		}
		return err
	})
	return errors.Join(err, a.tellHolds(done))
}

func (a *app) tellHolds(done []heldIn) error {
	if a.json && len(done) > 0 {
		return a.printJSON(done)
	}
	for _, d := range done {
		text := "is released"
		if d.Hold != nil {
			text = "is on hold"
		}
		if err := a.printf("point %s %s in tier %s\n", d.Point, text, d.Tier); err != nil {
			return err
		}
	}
	return nil
}

// operator names who runs the command, and where.
func (a *app) operator() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return cmp.Or(a.env.Getenv("SUDO_USER"), a.env.Getenv("USER"), fmt.Sprintf("uid %d", os.Getuid())) + "@" + host
}

// inTiers runs do in every tier, or the one that is named, which has the point. The first that has one by that name tells
// which point is meant.
func (a *app) inTiers(ctx context.Context, tier, name string, do func(v *vault.Vault, id string) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	numbers, err := chosenTiers(cfg, tier)
	if err != nil {
		return err
	}
	var done int
	var failed, absent []error
	for _, n := range numbers {
		switch id, err := a.inTier(ctx, cfg, cfg.Tiers[n], name, do); {
		case err == nil:
			done, name = done+1, id
		case problem.KindOf(err) == problem.NotFound:
			absent = append(absent, err)
		default:
			failed = append(failed, problem.Wrap(err, "tier", cfg.Tiers[n].Name))
		}
	}
	switch {
	case done > 0 && len(failed) > 0:
		return problem.New(problem.Partial, "repeat it for each of these tiers, with --tier NAME, once it can be opened", "done in %d tiers, not in: %w", done, errors.Join(failed...))
	case len(failed) > 0:
		return errors.Join(failed...)
	case done == 0:
		return absent[0]
	}
	return nil
}

func (a *app) inTier(ctx context.Context, cfg *config.Config, t config.Tier, name string, do func(v *vault.Vault, id string) error) (id string, err error) {
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return "", err
	}
	defer v.Close(context.WithoutCancel(ctx))
	points, err := v.Points(ctx)
	if err != nil {
		return "", err
	}
	p, err := point.Select(points, name)
	if err != nil {
		return "", err
	}
	return p.ID, do(v, p.ID)
}
