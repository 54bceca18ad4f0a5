package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"holdfast/internal/backup"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/source"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

// backupOptions are the flags of backup.
type backupOptions struct {
	parallel int
	dryRun   bool
	only     string
	limit    string
}

func newBackupCommand(a *app) *cobra.Command {
	var o backupOptions
	c := &cobra.Command{
		Use:   "backup [SOURCE...]",
		Short: "take a recovery point",
		Long: "Takes a recovery point of the named sources (" + strings.Join(sourceNames, ", ") + "), by default of all that are configured.\n" +
			"The point is sealed last: a run that is cut off leaves none, and earlier points stay as they are.\n" +
			"With --only the point holds some of the components and says which were left out: --only '*/physical' takes the\n" +
			"databases' physical copies alone, --only 'ctl*' the configuration of hosts by name.",
		Args:        cobra.ArbitraryArgs,
		ValidArgs:   sourceNames,
		Annotations: ends(problem.Partial, problem.Unreachable, problem.Busy),
		RunE: func(c *cobra.Command, args []string) error {
			if o.dryRun {
				return a.backup(c.Context(), args, o)
			}
			return a.inTurn(c.Context(), a.typed(c, args), func(ctx context.Context) error { return a.backup(ctx, args, o) })
		},
	}
	a.turnFlag(c)
	c.Flags().IntVar(&o.parallel, "parallel", 4, "stream at most `N` components at once")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be captured, from where, and why")
	c.Flags().StringVar(&o.limit, "limit", "", "read at most `SIZE` of block images in a second, such as 100MiB")
	c.Flags().StringVar(&o.only, "only", "", "capture only the components whose name is like `PATTERN`, with * and ?")
	return c
}

func (a *app) backup(ctx context.Context, names []string, o backupOptions) error {
	if _, err := path.Match(o.only, ""); err != nil {
		return problem.New(problem.Usage, "quote it as in --only '*/physical'", "pattern %q: %w", o.only, err)
	}
	if o.parallel < 1 {
		return problem.New(problem.Usage, "the default is 4", "--parallel must be at least 1")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	chosen, err := chosenSources(names, configured(cfg))
	if err != nil {
		return err
	}
	a.warnUnserved(cfg)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The inventory is read while the vault is opened: both take their time, and neither needs the other.
	described := sync.OnceValues(func() (*cloud, error) { return a.loadCloud(ctx, cfg) })
	if slices.ContainsFunc(chosen, func(name string) bool { return !withoutInventory(name) || name == rbd.SourceName && cfg.MariaDB != nil }) {
		go described()
	}
	s := setup{cfg: cfg, described: described, chosen: chosen}
	if s.limit, err = parseLimit(o.limit); err != nil {
		return err
	}
	if slices.Contains(chosen, rbd.SourceName) {
		s.maps = clusterMaps(ctx, cfg, described)
	}
	return a.inVault(ctx, cfg, func(v *vault.Vault) error {
		s.v = v
		if o.dryRun {
			return a.planOnly(ctx, s, o.only)
		}
		// Before anything that takes time or asks for a password: a run on its way is known at once.
		unlock, err := backup.Lock(v, chosen...)
		if err != nil {
			return err
		}
		defer unlock()
		return a.takePoint(ctx, s, o)
	})
}

// takePoint runs a backup of sources whose locks are held.
func (a *app) takePoint(ctx context.Context, s setup, o backupOptions) error {
	sources, err := a.sources(ctx, s)
	if err != nil {
		return err
	}
	defer findServedBeside(ctx, s, a.env.Now())()
	display := a.progress()
	defer display.Close()
	engine := backup.Engine{
		Cloud: s.cfg.Cloud, Version: VersionText(), Vault: s.v, Sources: sources, Locked: true, Parallel: o.parallel, Only: o.only,
		Journal: backup.Journal{Dir: filepath.Join(s.cfg.State, "runs")}, Listen: display.Listen, Now: a.env.Now,
	}
	if s.cfg.RBD != nil {
		engine.CheckpointEvery = s.cfg.RBD.Checkpoint
	}
	p, err := engine.Run(ctx)
	display.Close()
	if err != nil {
		return err
	}
	a.came.Took(p)
	p.Tiers = tiers(s.v, p, nil, map[string]string{p.ID: "the newest run, whatever came of it"}, nil)
	err = errors.Join(a.tellPoint(p), verdict(p))
	a.compact(ctx, s.v)
	return err
}

// tellPoint ends a backup: the point as JSON, or the closing table.
func (a *app) tellPoint(p point.Point) error {
	if a.json {
		return a.printJSON(p)
	}
	if err := a.printf("%s\n", report.Closing(report.PointLines(p), p.Finished.Sub(p.Started))); err != nil {
		return err
	}
	return a.printf("point %s is %s\n", p.ID, p.State)
}

// verdict is the error that a point that is not complete ends a backup with.
func verdict(p point.Point) error {
	if p.State == point.Complete {
		return nil
	}
	var missing []string
	for _, c := range p.Components {
		if c.State == point.ComponentFailed || c.State == point.ComponentPartial || c.State == point.Skipped && c.Required {
			missing = append(missing, fmt.Sprintf("%s %s (%s: %s)", c.Source, c.Name, c.State, c.Reason))
		}
	}
	if len(missing) == 0 {
		return problem.New(problem.Failed, "holdfast backup --dry-run tells what is left out and why; earlier points are as they were", "point %s is %s: there was nothing to capture", p.ID, p.State)
	}
	kind, hint := problem.Partial, "holdfast doctor finds what is in the way; what was captured is kept"
	if p.State == point.Failed {
		kind, hint = problem.Failed, "holdfast doctor finds what is in the way; earlier points are as they were"
	}
	return problem.New(kind, hint, "point %s is %s, it lacks: %s", p.ID, p.State, strings.Join(missing, ", "))
}

// planOnly tells the plans of the chosen sources.
func (a *app) planOnly(ctx context.Context, s setup, only string) error {
	sources, err := a.sources(ctx, s)
	if err != nil {
		return err
	}
	plans := map[string]source.Plan{}
	t := report.NewTable("COMPONENT", "KIND", "MODE", "FROM", "EXPECTED", "WHY").AlignRight("EXPECTED")
	var notes []string
	for _, s := range sources {
		p, err := s.Plan(ctx)
		if err != nil {
			return problem.Wrap(err, "plan", s.Name())
		}
		p = p.Only(only)
		p.Tasks = append([]source.Task{}, p.Tasks...) // in JSON none is an empty list
		plans[s.Name()] = p
		for _, task := range p.Tasks {
			t.Row(s.Name()+" "+task.Name, string(task.Kind), string(task.Mode), task.Host, report.Size(task.Estimate), task.Reason)
		}
		tellSkipped(t, p.Skipped)
		notes = append(notes, p.Notes...)
	}
	if a.json {
		return a.printJSON(plans)
	}
	for _, n := range notes {
		a.warn(n)
	}
	return a.printf("%s", t)
}

// tellSkipped adds a row for each component that is left out, or one for all where many are for the same reason.
func tellSkipped(t *report.Table, tasks []source.Task) {
	var all []point.Component
	for _, s := range tasks {
		all = append(all, point.Component{
			Source: s.Source, Name: s.Name, Kind: s.Kind, Host: s.Host, Required: s.Required, Reason: s.Reason, State: point.Skipped,
		})
	}
	each, many := point.Fold(all)
	for _, c := range each {
		t.Row(c.Source+" "+c.Name, string(c.Kind), "skipped", c.Host, "", c.Reason)
	}
	for _, m := range many {
		t.Row(fmt.Sprintf("%s (%d)", m.Source, m.Count), "", "skipped", "", "", m.Reason)
	}
}

// chosenSources checks the names on the command line.
func chosenSources(names, configured []string) ([]string, error) {
	if len(names) == 0 {
		return configured, nil
	}
	var chosen []string
	for _, n := range names {
		if !slices.Contains(sourceNames, n) {
			return nil, problem.New(problem.Usage, "the sources are: "+strings.Join(sourceNames, ", "), "there is no source %q", n)
		}
		if !slices.Contains(configured, n) {
			return nil, problem.New(problem.Usage, "add it to holdfast.yml", "source %s is not configured", n)
		}
		if !slices.Contains(chosen, n) {
			chosen = append(chosen, n)
		}
	}
	return chosen, nil
}
