package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

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
	retry    bool
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
		RunE: func(c *cobra.Command, args []string) error {
			if o.dryRun {
				return a.replicate(c.Context(), args, o)
			}
			return a.inTurn(c.Context(), a.typed(c, args), func(ctx context.Context) error { return a.replicate(ctx, args, o) })
		},
	}
	a.turnFlag(c)
	c.Flags().StringSliceVar(&o.points, "point", nil, "copy this `POINT` alone; may be given several times")
	c.Flags().StringVar(&o.from, "from", "", "copy from this `TIER`")
	c.Flags().StringVar(&o.limit, "limit", "", "send at most `SIZE` in a second, such as 10MiB, whatever the tier's limit: says")
	c.Flags().BoolVar(&o.retry, "retry", false, "wait and try again when a tier fails: after an hour, or as the tier's retry: says")
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
	results := make([]tier.Result, len(ways))
	tasks := make([]tier.Task, len(ways))
	var about []string
	for i, w := range ways {
		about = append(about, w.to.Name)
		tasks[i] = tier.Task{
			Backoff: tier.Backoff(w.to.Retry),
			Do: func(ctx context.Context) (err error) {
				results[i], err = a.replicateOne(ctx, cfg, w, o, limit)
				return err
			},
			Failed: func(err error, wait time.Duration) {
				a.warn(fmt.Sprintf("tier %s failed, and is tried again in %s: %v", w.to.Name, report.Span(wait), err))
			},
		}
	}
	failed := slices.DeleteFunc(do(ctx, tasks, o.retry), func(err error) bool { return err == nil })
	if !o.dryRun {
		a.renewLocks(ctx, cfg, about)
	}
	results = slices.DeleteFunc(results, func(r tier.Result) bool { return r.To == "" })
	for _, r := range results {
		for _, p := range r.Points {
			a.came.New += p.Bytes
		}
	}
	return errors.Join(a.tellReplicated(results), worst(failed))
}

// do does the tasks once, or again as long as that may help.
func do(ctx context.Context, tasks []tier.Task, again bool) (ends []error) {
	if again {
		return tier.Again(ctx, tasks)
	}
	for _, t := range tasks {
		ends = append(ends, t.Do(ctx))
		if ctx.Err() != nil {
			break
		}
	}
	return ends
}

// rateNow is what a tier is sent at the moment in a second: as the command line says, else as the clock has it.
func (a *app) rateNow(t config.Tier, given int64) func() int64 {
	switch {
	case given > 0:
		return func() int64 { return given }
	case len(t.Limits) > 0:
		return func() int64 { return config.RateAt(t.Limits, a.env.Now().Local()) }
	}
	return nil
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
	from, to, err := a.openEnds(ctx, cfg, w)
	for _, v := range []*vault.Vault{from, to} {
		if v != nil {
			defer v.Close(context.WithoutCancel(ctx))
		}
	}
	if err != nil {
		if to != nil && !o.dryRun { // what it holds stays locked although nothing can be brought to it
			_, unlocked := to.ExtendLocks(ctx, false)
			err = errors.Join(err, unlocked)
		}
		return res, err
	}
	ids, err := selectAll(ctx, from, o.points)
	if err != nil {
		return res, err
	}
	display := a.progress()
	defer display.Close()
	if !o.dryRun {
		defer a.compact(ctx, to)
	}
	res, err = tier.Replicate(ctx, from, to, tier.Options{
		Unwanted: func(ctx context.Context, _ []vault.Sealed) (map[string]string, error) {
			left, err := a.unwanted(ctx, cfg, w.to, from, to)
			if err == nil {
				err = a.spareOnTheWay(ctx, cfg, w.to, from, left)
			}
			return left, err
		},
		Refuse: noRoomFor(to, w.to),
		Points: ids, Parallel: o.parallel, Limit: a.rateNow(w.to, limit), DryRun: o.dryRun, Listen: display.Listen, Now: a.env.Now,
	})
	if err == nil && !o.dryRun {
		a.exchangeFormats(ctx, from, to)
	}
	return res, err
}

// spareOnTheWay has a tier take what those after it want and lack. What one wants that cannot be asked has to wait for another time.
func (a *app) spareOnTheWay(ctx context.Context, cfg *config.Config, to config.Tier, from *vault.Vault, left map[string]string) error {
	numbers, err := chosenTiers(cfg, to.Name)
	if err != nil {
		return err
	}
	if err := a.spare(ctx, cfg, cfg.Tiers[numbers[0]+1:], from, left, false); err != nil && ctx.Err() == nil {
		a.warn(err.Error())
	}
	return ctx.Err()
}

// openEnds opens both vaults of a way, at the same time unless a passphrase may have to be typed. One that was opened is returned
// although the other could not be.
func (a *app) openEnds(ctx context.Context, cfg *config.Config, w way) (from, to *vault.Vault, err error) {
	var g errgroup.Group
	if slices.ContainsFunc(append(w.from, w.to), func(t config.Tier) bool { return t.Passphrase.IsZero() }) {
		g.SetLimit(1)
	}
	g.Go(func() (err error) { from, err = a.openNearest(ctx, cfg, w.from); return err })
	g.Go(func() (err error) { to, err = a.openVault(ctx, cfg, w.to); return err })
	err = g.Wait()
	return from, to, err
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
		for _, u := range r.Unwanted {
			if err := a.printf("point %s is not sent to tier %s: %s\n", u.Point, r.To, u.Reason); err != nil {
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
