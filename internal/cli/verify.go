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
	"holdfast/internal/report"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	percent float64
	full    bool
	all     bool
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [POINT]",
		Short: "prove that a recovery point can be read",
		Long: "Looks for everything a point consists of and compares it with the point's manifest: every file, every piece of it, every\n" +
			"pack and its length. A share of the data is read back, decrypted and compared with its hash.",
		Args:              cobra.MaximumNArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Damage),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			if o.all && len(args) > 0 {
				return problem.New(problem.Usage, "leave one of them out", "--all and a point exclude each other")
			}
			return a.verify(c.Context(), cmp.Or(strings.Join(args, ""), "latest"), o)
		},
	}
	a.tierFlag(c)
	c.Flags().Float64Var(&o.percent, "percent", 5, "read this `SHARE` of the data back")
	c.Flags().BoolVar(&o.full, "full", false, "read all of it back")
	c.Flags().BoolVar(&o.all, "all", false, "verify every point")
	return c
}

// verified is the result of verify for one point.
type verified struct {
	Point string `json:"point"`
	vault.Report
}

func (a *app) verify(ctx context.Context, name string, o verifyOptions) error {
	if o.full {
		o.percent = 100
	}
	if o.percent < 0 || o.percent > 100 {
		return problem.New(problem.Usage, "", "--percent must be from 0 to 100")
	}
	return a.withVault(ctx, func(cfg *config.Config, v *vault.Vault) error {
		points, err := v.Points(ctx)
		if err != nil {
			return err
		}
		if !o.all {
			p, err := point.Select(points, name)
			if err != nil {
				return err
			}
			points = []point.Point{p}
		}
		if len(points) == 0 {
			return problem.New(problem.NotFound, "holdfast backup takes a point", "there is no point to verify")
		}
		return a.verifyPoints(ctx, cfg, v, points, o.percent)
	})
}

func (a *app) verifyPoints(ctx context.Context, cfg *config.Config, v *vault.Vault, points []point.Point, percent float64) error {
	record := a.verifications(cfg)
	var results []verified
	var damage []error
	for _, p := range points {
		r, err := v.Verify(ctx, p.ID, depth(percent))
		if err != nil && problem.KindOf(err) != problem.Damage {
			return err
		}
		r.Damaged = append([]vault.Damage{}, r.Damaged...) // in JSON nothing damaged is an empty list
		results = append(results, verified{p.ID, r})
		if err != nil {
			damage = append(damage, fmt.Errorf("point %s: %d damaged", p.ID, len(r.Damaged)))
		}
		if err := record.Add(p.ID, verify.Finding{At: a.env.Now().UTC(), Percent: percent, Damaged: len(r.Damaged)}); err != nil {
			return err
		}
	}
	err := a.tellVerified(results)
	if len(damage) > 0 {
		err = errors.Join(problem.New(problem.Damage, damageHint, "%w", errors.Join(damage...)), err)
	}
	return err
}

const damageHint = "what is named above cannot be restored from this vault, and what is not named can; the next backup writes anew what " +
	"its sources still hold of it, which mends these points too"

// depth is how far a share of the data makes a verification go.
func depth(percent float64) vault.VerifyOptions {
	switch percent {
	case 0:
		return vault.VerifyOptions{Depth: vault.Structure}
	case 100:
		return vault.VerifyOptions{Depth: vault.Full}
	}
	return vault.VerifyOptions{Depth: vault.Sample, Percent: percent}
}

func (a *app) tellVerified(results []verified) error {
	if a.json {
		return a.printJSON(results)
	}
	for _, r := range results {
		if err := a.printf("point %s: %d files, %d pieces looked for, %d (%s) read back\n", r.Point, r.Files, r.Contents, r.Read,
			report.Size(r.ReadBytes)); err != nil {
			return err
		}
		for _, d := range r.Damaged {
			if err := a.printf("  damaged: %s %s %s: %s\n", d.Source, d.Component, d.File, d.What); err != nil {
				return err
			}
		}
		if r.Note != "" {
			if err := a.printf("  note: %s\n", r.Note); err != nil {
				return err
			}
		}
	}
	return nil
}
