package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/tier"
	"holdfast/internal/vault"
)

// replicateOptions are the flags of replicate.
type replicateOptions struct {
	points   []string
	from     string
	limit    string
	parallel int
	dryRun   bool
}

func newReplicateCommand(a *app) *cobra.Command {
	var o replicateOptions
	c := &cobra.Command{
		Use:   "replicate [TIER]",
		Short: "bring the recovery points to the next tiers",
		Long: "Copies to each tier after the first, or to TIER, what it lacks of the points of the tier before it, newest first. What the\n" +
			"tier has of a point is not sent again, and a copy that was cut off goes on where it was. A point counts as held once all\n" +
			"of it was found there and a share of it was read back.\n" +
			"With --from another tier is copied from: replicate local --from offsite fills a new local vault.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTier,
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Busy, problem.Damage),
		RunE:              func(c *cobra.Command, args []string) error { return a.replicate(c.Context(), args, o) },
	}
	c.Flags().StringSliceVar(&o.points, "point", nil, "copy this `POINT` alone; may be given several times")
	c.Flags().StringVar(&o.from, "from", "", "copy from this `TIER`")
	c.Flags().StringVar(&o.limit, "limit", "", "send at most `SIZE` in a second, such as 10MiB")
	c.Flags().IntVar(&o.parallel, "parallel", 16, "have at most `N` pieces on their way at once")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be copied")
	return c
}

func (a *app) replicate(ctx context.Context, args []string, o replicateOptions) error {
	if o.parallel < 1 {
		return problem.New(problem.Usage, "the default is 16", "--parallel must be at least 1")
	}
	limit, err := parseLimit(o.limit)
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	ways, err := waysTo(cfg, args, o.from)
	if err != nil {
		return err
	}
	results := []tier.Result{}
	var failed []error
	for _, w := range ways {
		res, err := a.replicateOne(ctx, cfg, w, o, limit)
		if err != nil {
			failed = append(failed, err)
		}
		if res.To != "" {
			results = append(results, res)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(a.tellReplicated(results), worst(failed))
}

// worst joins errors under the kind of the first.
func worst(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	return problem.New(problem.KindOf(errs[0]), problem.HintOf(errs[0]), "%w", errors.Join(errs...))
}

func parseLimit(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	limit, err := config.ParseSize(text)
	if err != nil || limit < config.LeastLimit {
		return 0, problem.New(problem.Usage, "write a number with its unit, such as 100MiB", "--limit %q is not a size of at least 64KiB", text)
	}
	return limit, nil
}

// way is to one tier from the first of others that opens.
type way struct {
	from []config.Tier
	to   config.Tier
}

// waysTo returns the ways that points take: to the named tier, else to all after the first, each from the one before it.
func waysTo(cfg *config.Config, names []string, from string) (ways []way, err error) {
	var source *config.Tier
	if from != "" {
		t, err := tierNamed(cfg, from)
		if err != nil {
			return nil, err
		}
		source = &t
	}
	for i, t := range cfg.Tiers {
		if len(names) > 0 && t.Name != names[0] || len(names) == 0 && i == 0 || source != nil && t.Name == source.Name {
			continue
		}
		switch {
		case source != nil:
			ways = append(ways, way{[]config.Tier{*source}, t})
		case i == 0:
			return nil, problem.New(problem.Usage, "name the tier that has the points: --from TIER", "tier %s is the first: there is none before it", t.Name)
		default:
			before := slices.Clone(cfg.Tiers[:i])
			slices.Reverse(before)
			ways = append(ways, way{before, t})
		}
	}
	if len(ways) > 0 {
		return ways, nil
	}
	if len(names) > 0 {
		if _, err := tierNamed(cfg, names[0]); err != nil {
			return nil, err
		}
	}
	return nil, problem.New(problem.Usage, "add another tier to holdfast.yml and run holdfast init", "there is no tier to copy to")
}

func (a *app) replicateOne(ctx context.Context, cfg *config.Config, w way, o replicateOptions, limit int64) (res tier.Result, err error) {
	from, err := a.openNearest(ctx, cfg, w.from)
	if err != nil {
		return res, err
	}
	defer from.Close(context.WithoutCancel(ctx))
	to, err := a.openVault(ctx, cfg, w.to)
	if err != nil {
		return res, err
	}
	defer to.Close(context.WithoutCancel(ctx))
	ids, err := selectAll(ctx, from, o.points)
	if err != nil {
		return res, err
	}
	display := a.progress()
	defer display.Close()
	return tier.Replicate(ctx, from, to, tier.Options{
		Points: ids, Parallel: o.parallel, Limit: limit, DryRun: o.dryRun, Listen: display.Listen, Now: a.env.Now,
	})
}

// openNearest opens the first of some tiers that can be opened, and warns of the others.
func (a *app) openNearest(ctx context.Context, cfg *config.Config, tiers []config.Tier) (v *vault.Vault, err error) {
	for i, t := range tiers {
		if v, err = a.openVault(ctx, cfg, t); err == nil || ctx.Err() != nil || i == len(tiers)-1 {
			break
		}
		a.warn(fmt.Sprintf("tier %s cannot be read, the one before it stands in: %v", t.Name, err))
	}
	return v, err
}

// selectAll returns the ids of the points that an operator names. Without names the points need not be read.
func selectAll(ctx context.Context, v *vault.Vault, names []string) (ids []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	points, err := v.Points(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p, err := point.Select(points, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, p.ID)
	}
	return ids, nil
}

func (a *app) tellReplicated(results []tier.Result) error {
	if a.json {
		return a.printJSON(results)
	}
	for _, r := range results {
		done := "copied"
		if r.DryRun {
			done = "lacking"
		}
		count := 0
		t := report.NewTable("POINT", "SEALED", "PIECES", "SENT", "TOOK", "STATE").AlignRight("PIECES", "SENT", "TOOK")
		for _, p := range r.Points {
			t.Row(p.Point, p.Sealed.Format(dateTime), fmt.Sprint(p.Contents), report.Size(p.Bytes), report.Span(time.Duration(p.Seconds*float64(time.Second))), string(p.State))
			if string(p.State) == done {
				count++
			}
		}
		if t.Len() > 0 {
			if err := a.printf("%s\n", t); err != nil {
				return err
			}
		}
		if err := a.printf("tier %s: %d points %s from %s, %d held before\n", r.To, count, done, r.From, r.Held); err != nil {
			return err
		}
		for _, p := range r.Points {
			for _, d := range p.Damaged {
				if err := a.printf("  damaged in %s: %s %s %s %s: %s\n", r.From, d.Point, d.Source, d.Component, d.File, d.What); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tierNamed returns a tier of the configuration.
func tierNamed(cfg *config.Config, name string) (config.Tier, error) {
	var names []string
	for _, t := range cfg.Tiers {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return config.Tier{}, problem.New(problem.Usage, fmt.Sprintf("the tiers of holdfast.yml are: %s", strings.Join(names, ", ")), "there is no tier %q", name)
}

// completeTierFlag offers the tiers as the value of a flag.
func (a *app) completeTierFlag(c *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.completeTier(c, nil, word)
}

// completeTier offers the tiers of the configuration.
func (a *app) completeTier(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if cfg, err := a.config(); err == nil && len(args) == 0 {
		for _, t := range cfg.Tiers {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
