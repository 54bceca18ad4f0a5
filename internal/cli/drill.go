package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/drill"
	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/restore"
	"holdfast/internal/vault"
)

func newDrillCommand(a *app) *cobra.Command {
	return group("drill", "rehearse a restore and prove it", newDrillMariaDBCommand(a))
}

// drillOptions are the flags of a drill.
type drillOptions struct {
	from    string
	longest bool
	shard   int
	all     bool // shards
}

func newDrillMariaDBCommand(a *app) *cobra.Command {
	var o drillOptions
	c := &cobra.Command{
		Use:   "mariadb [POINT]",
		Short: "restore a database aside, compare all of it, and remove it again",
		Long: "Restores both copies of a shard into private servers on this host: the dump into an empty one, whose tables must then hold\n" +
			"every row that was recorded while the dump was taken, and the physical copy, of which every page, table and definition is\n" +
			"checked. Accounts are logged in to with the passwords that Kolla has. The result is kept in the vault beside the point,\n" +
			"and nothing else stays. Without POINT it is the newest point with a good copy, or with --longest the one that was not drilled for the longest time.\n" +
			"With --all-shards every shard of the newest point, or of POINT, is drilled in turn, whatever comes of the others.",
		Args:              cobra.MaximumNArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Damage, problem.Partial, problem.Busy),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			return a.inTurn(c.Context(), a.typed(c, args), func(ctx context.Context) error { return a.drillMariaDB(ctx, strings.Join(args, ""), o) })
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "restore from the vault of this `TIER`; default: the first that holds the point")
	_ = c.RegisterFlagCompletionFunc("from", a.completeTierFlag)
	c.Flags().BoolVar(&o.longest, "longest", false, "choose the good point that was not drilled for the longest time")
	c.Flags().IntVar(&o.shard, "shard", 0, "drill shard `N`")
	c.Flags().BoolVar(&o.all, "all-shards", false, "drill every shard, one after the other")
	c.MarkFlagsMutuallyExclusive("shard", "all-shards")
	a.turnFlag(c)
	return c
}

func (a *app) drillMariaDB(ctx context.Context, name string, o drillOptions) error {
	if name != "" && o.longest {
		return problem.New(problem.Usage, "give one of the two", "a POINT is named, and --longest chooses one")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tiers := cfg.Tiers
	if o.from != "" {
		t, err := tierNamed(cfg, o.from)
		if err != nil {
			return err
		}
		tiers = []config.Tier{t}
	}
	shards := []int{o.shard}
	if o.all {
		if shards, err = a.drillShards(ctx, cfg, tiers, name); err != nil {
			return err
		}
	}
	results, err := a.drillEach(ctx, cfg, tiers, shards, name, o)
	return errors.Join(a.tellDrills(results, o.all), err)
}

// drillEach drills shards, one after the other: what comes of one does not keep the others from it.
func (a *app) drillEach(ctx context.Context, cfg *config.Config, tiers []config.Tier, shards []int, name string, o drillOptions) ([]point.Drill, error) {
	results := []point.Drill{}
	var failed []error
	for _, o.shard = range shards {
		result, err := a.drillShard(ctx, cfg, tiers, name, o)
		if len(result.Parts) > 0 {
			results = append(results, result)
		}
		if err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	slices.SortStableFunc(failed, byDrillEnd)
	return results, worst(failed)
}

// drillEnds are the ways in which drills end, the worst first.
var drillEnds = []problem.Kind{problem.Damage, problem.Interrupted, problem.Failed, problem.Unreachable, problem.NotFound, problem.Partial}

func byDrillEnd(a, b error) int {
	return cmp.Compare(slices.Index(drillEnds, problem.KindOf(a)), slices.Index(drillEnds, problem.KindOf(b)))
}

// drillShards are the shards that --all-shards means.
func (a *app) drillShards(ctx context.Context, cfg *config.Config, tiers []config.Tier, name string) (shards []int, err error) {
	err = a.firstTier(ctx, cfg, tiers, func(_ *vault.Vault, points []point.Point, _ string) (bool, error) {
		if name != "" {
			p, err := point.Select(points, name)
			if err != nil {
				return false, err
			}
			points = []point.Point{p}
		}
		shards, err = drill.Shards(points)
		return err == nil, err
	})
	return shards, err
}

// drillShard drills a shard from the first tier that holds a point that fits. The result has no parts when nothing was drilled.
func (a *app) drillShard(ctx context.Context, cfg *config.Config, tiers []config.Tier, name string, o drillOptions) (result point.Drill, err error) {
	err = a.firstTier(ctx, cfg, tiers, func(v *vault.Vault, points []point.Point, tier string) (bool, error) {
		p, err := chooseDrill(ctx, v, points, name, o)
		if err != nil {
			return false, err
		}
		a.came.Point = p.ID
		result, err = a.drillPoint(ctx, cfg, v, p, tier, o.shard)
		return true, err
	})
	return result, err
}

// use does something with the points of a tier. It reports false when the tier holds none that fits.
type use func(v *vault.Vault, points []point.Point, tier string) (found bool, err error)

// firstTier uses the first tier that can be read and holds a point that fits.
func (a *app) firstTier(ctx context.Context, cfg *config.Config, tiers []config.Tier, do use) error {
	var missed []error
	for _, t := range tiers {
		found, err := a.tryTier(ctx, cfg, t, do)
		if found {
			return err
		}
		missed = append(missed, err)
		if ctx.Err() != nil {
			return err
		}
	}
	return worst(missed)
}

func (a *app) tryTier(ctx context.Context, cfg *config.Config, t config.Tier, do use) (found bool, err error) {
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return false, err
	}
	defer v.Close(context.WithoutCancel(ctx))
	points, err := v.Points(ctx)
	if err != nil {
		return false, err
	}
	return do(v, points, t.Name)
}

// chooseDrill finds the point to drill.
func chooseDrill(ctx context.Context, v *vault.Vault, points []point.Point, name string, o drillOptions) (point.Point, error) {
	if name != "" {
		return point.Select(points, name)
	}
	if !o.longest {
		return drill.Newest(points, o.shard)
	}
	drills, err := v.Drills(ctx)
	if err != nil {
		return point.Point{}, err
	}
	return drill.Longest(points, drills, o.shard)
}

// drillPoint drills a point and keeps the result, unless that says nothing of the point.
func (a *app) drillPoint(ctx context.Context, cfg *config.Config, v *vault.Vault, p point.Point, tier string, shard int) (point.Drill, error) {
	display := a.progress()
	here, _ := os.Hostname() // only told
	result, err := drill.MariaDB(ctx, drill.Options{
		Restorer: &restore.Restorer{Vault: v, Local: host.Local{}, Now: a.env.Now, Listen: display.Listen},
		Point:    p, Tier: tier, Shard: shard, State: cfg.State, Host: here, Version: VersionText(), Password: a.drillPasswords(ctx, cfg),
	})
	display.Close()
	if ctx.Err() != nil || len(result.Parts) == 0 {
		return point.Drill{}, err
	}
	if kerr := v.KeepDrill(ctx, result); kerr != nil {
		err = errors.Join(err, problem.Wrap(kerr, "keep the result of the drill", ""))
	}
	return result, err
}

// tellDrills tells the results of drills: as a list, where several may be asked for.
func (a *app) tellDrills(all []point.Drill, list bool) error {
	if a.json && list {
		return a.printJSON(all)
	}
	var texts []string
	for _, d := range all {
		if a.json {
			return a.printJSON(d)
		}
		texts = append(texts, describeDrill(d))
	}
	return a.printf("%s", strings.Join(texts, "\n"))
}

// describeDrill tells the result of a drill in full.
func describeDrill(d point.Drill) string {
	var b strings.Builder
	fmt.Fprintf(&b, "drill %s of point %s from tier %s on %s: %s in %s\n", d.ID, d.Point, d.Tier, d.Host, d.State, took(d.Seconds))
	for _, p := range d.Parts {
		describeDrillPart(&b, p)
	}
	return b.String()
}

func describeDrillPart(b *strings.Builder, p point.DrillPart) {
	fmt.Fprintf(b, "\n%s: %s in %s, with %s\n", p.Component, p.State, took(p.Seconds), p.Programs)
	t := report.NewTable("  STEP", "TIME").AlignRight("TIME")
	for _, s := range p.Steps {
		t.Row("  "+s.Name, took(s.Seconds))
	}
	b.WriteString(t.String())
	if p.Pages > 0 {
		fmt.Fprintf(b, "  %d pages with the right checksum\n", p.Pages)
	}
	fmt.Fprintf(b, "  %d of %d tables (%d rows) are the same as when they were dumped\n", p.Same, p.Tables, p.Rows)
	if n := len(p.NotComparable); n > 0 {
		fmt.Fprintf(b, "  not comparable, since they may have been written between the two copies: %s\n", strings.Join(p.NotComparable, ", "))
	}
	counts := map[string]int{}
	for _, l := range p.Logins {
		counts[l.Proof]++
	}
	fmt.Fprintf(b, "  accounts: %d logged in to with their passwords, %d only looked at\n", counts["password"], len(p.Logins)-counts["password"])
	for _, f := range p.Findings {
		fmt.Fprintf(b, "  WRONG: %s %s: %s\n", f.What, f.Name, f.Text)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
}

func took(seconds float64) string { return report.Span(time.Duration(seconds * float64(time.Second))) }

// drillPasswords returns the passwords that the database's users have in Kolla's passwords.yml, and Holdfast's own. Without any,
// accounts are only looked at.
func (a *app) drillPasswords(ctx context.Context, cfg *config.Config) func(context.Context, string) (drill.Password, bool) {
	c, err := a.loadCloud(ctx, cfg)
	if err != nil {
		a.warn("accounts are not logged in to: " + oneLine(err.Error()))
		return nil
	}
	var changed time.Time
	if info, err := os.Stat(c.passwords.Path); err == nil {
		changed = info.ModTime()
	}
	return func(ctx context.Context, user string) (drill.Password, bool) {
		for _, key := range inventory.DatabasePasswordKeys(user) {
			if s, err := c.passwords.Password(ctx, key); err == nil && !s.Empty() {
				return drill.Password{Secret: s, Changed: changed}, true
			}
		}
		return drill.Password{}, false
	}
}
