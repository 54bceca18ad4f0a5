package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/restore"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/vault"
)

func newRestoreCommand(a *app) *cobra.Command {
	return group("restore", "bring something of a recovery point back",
		newRestoreMariaDBCommand(a), newRestoreTableCommand(a), newRestoreFilesCommand(a), newRestoreImageCommand(a),
		newRestoreCephCommand(a), newRestoreResumeCommand(a), newRestoreAbortCommand(a))
}

// restoreOptions are the flags that all restores share.
type restoreOptions struct {
	accept []string
	dryRun bool
}

func (o *restoreOptions) add(a *app, c *cobra.Command) {
	flags := c.Flags()
	a.tierFlag(c)
	a.yesFlag(flags)
	flags.StringSliceVar(&o.accept, "accept", nil, "go on although this speaks against it: "+strings.Join(restore.Acceptable, ", "))
	flags.BoolVar(&o.dryRun, "dry-run", false, "only show the plan")
}

// restoring is a restore that has been planned.
type restoring interface {
	Plan() *restore.Plan
	Execute(ctx context.Context) error
}

// restore plans on a point, shows the plan, asks, and executes.
func (a *app) restore(ctx context.Context, name string, o restoreOptions,
	plan func(*config.Config, *vault.Vault, point.Point, *restore.Restorer) (restoring, error),
) error {
	return a.withPoint(ctx, name, func(cfg *config.Config, v *vault.Vault, p point.Point) error {
		r := &restore.Restorer{Vault: v, Local: host.Local{}, Now: a.env.Now}
		job, err := plan(cfg, v, p, r)
		if err != nil {
			return err
		}
		if o.dryRun {
			return a.tellPlan(job.Plan())
		}
		if err := job.Plan().Check(o.accept); err != nil {
			return errors.Join(err, a.showRefused(job.Plan()))
		}
		if err := a.confirm(ctx, describePlan(job.Plan())); err != nil {
			return err
		}
		return a.execute(ctx, job, r)
	})
}

// showRefused shows the plan that was refused, so that the operator sees what it was about.
func (a *app) showRefused(p *restore.Plan) error {
	if !a.json {
		fmt.Fprintln(a.env.Stderr, describePlan(p))
	}
	return nil
}

func (a *app) tellPlan(p *restore.Plan) error {
	if a.json {
		return a.printJSON(p)
	}
	return a.printf("%s", describePlan(p))
}

// restored is the result of a restore as --json tells it.
type restored struct {
	*restore.Plan
	Seconds float64 `json:"seconds"`
}

func (a *app) execute(ctx context.Context, job restoring, r *restore.Restorer) error {
	display := a.progress()
	defer display.Close()
	r.Listen = display.Listen
	started := a.env.Now()
	err := job.Execute(ctx)
	display.Close()
	if err != nil {
		return err
	}
	took := a.env.Now().Sub(started)
	if a.json {
		return a.printJSON(restored{job.Plan(), took.Seconds()})
	}
	if err := a.printf("%s from point %s: done in %s\n", job.Plan().Title, job.Plan().Point, report.Span(took)); err != nil {
		return err
	}
	for _, line := range job.Plan().Outcome {
		if err := a.printf("%s\n", line); err != nil {
			return err
		}
	}
	if len(job.Plan().Undo) > 0 {
		kept := ""
		if job.Plan().Keeps {
			kept = "What was replaced is kept. "
		}
		return a.printf("%sTo take it back:\n  %s\n", kept, strings.Join(job.Plan().Undo, "\n  "))
	}
	return nil
}

func describePlan(p *restore.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from point %s would:\n", p.Title, p.Point)
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, s)
	}
	if len(p.Space) > 0 {
		t := report.NewTable("SPACE", "NEED", "FREE").AlignRight("NEED", "FREE")
		for _, s := range p.Space {
			t.Row(s.Where, report.Size(s.Need), report.Size(s.Free))
		}
		fmt.Fprintf(&b, "\n%s", t)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "\nnote: %s", n)
	}
	for _, r := range p.Refusals {
		fmt.Fprintf(&b, "\nagainst it%s: %s", named(r), r.Text)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func named(r restore.Refusal) string {
	if r.Name == "" {
		return ""
	}
	return " (" + r.Name + ")"
}

// mariadbOptions are the flags of restore mariadb.
type mariadbOptions struct {
	restoreOptions
	to      string
	cluster bool
	oldTo   string
	shard   int
}

func newRestoreMariaDBCommand(a *app) *cobra.Command {
	var o mariadbOptions
	c := &cobra.Command{
		Use:   "mariadb POINT (--to DIR | --cluster)",
		Short: "bring a database back from its physical copy",
		Long: "Brings a shard's database back from its physical copy, as a prepared data directory for a server to start on, or as\n" +
			"the whole cluster: the copy is prepared beside the first node's datadir, all servers are stopped, their datadirs are\n" +
			"moved aside, the first node starts a new cluster and the others join it.",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable),
		ValidArgsFunction: a.completePoint,
		RunE:              func(c *cobra.Command, args []string) error { return a.restoreMariaDB(c.Context(), args[0], o) },
	}
	o.add(a, c)
	c.Flags().StringVar(&o.to, "to", "", "write a prepared data directory to `DIR`, which is absent or empty")
	c.Flags().BoolVar(&o.cluster, "cluster", false, "replace the data of the whole running or broken cluster")
	c.Flags().StringVar(&o.oldTo, "old-to", "", "move the old datadirs below `DIR` of each node; by default they stay beside the new ones")
	c.Flags().IntVar(&o.shard, "shard", 0, "restore shard `N`")
	c.MarkFlagsOneRequired("to", "cluster")
	c.MarkFlagsMutuallyExclusive("to", "cluster")
	return c
}

func (a *app) restoreMariaDB(ctx context.Context, name string, o mariadbOptions) error {
	return a.restore(ctx, name, o.restoreOptions, func(cfg *config.Config, v *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		if o.to != "" {
			return r.Datadir(ctx, p, o.shard, o.to)
		}
		options, _, err := a.clusterOptions(ctx, cfg, o.shard)
		if err != nil {
			return nil, err
		}
		options.OldTo = o.oldTo
		return r.Cluster(ctx, p, options)
	})
}

// tableOptions are the flags of restore table.
type tableOptions struct {
	restoreOptions
	replace bool
	shard   int
}

func newRestoreTableCommand(a *app) *cobra.Command {
	var o tableOptions
	c := &cobra.Command{
		Use:   "table POINT DB.TABLE",
		Short: "bring one table back from the logical copy",
		Long: "Loads one table of the logical copy into the running cluster, as DB_restored.TABLE. With --replace it is loaded beside\n" +
			"the table and exchanged with it in one step; the table that was there is kept under another name.",
		Args:              cobra.ExactArgs(2),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Damage),
		ValidArgsFunction: a.completePoint,
		RunE:              func(c *cobra.Command, args []string) error { return a.restoreTable(c.Context(), args[0], args[1], o) },
	}
	o.add(a, c)
	c.Flags().BoolVar(&o.replace, "replace", false, "exchange the table with the restored one, and keep it")
	c.Flags().IntVar(&o.shard, "shard", 0, "restore from and to shard `N`")
	return c
}

func (a *app) restoreTable(ctx context.Context, name, table string, o tableOptions) error {
	db, tab, ok := strings.Cut(table, ".")
	if !ok || db == "" || tab == "" {
		return problem.New(problem.Usage, "write it as DB.TABLE, nova.instances", "%q names no table", table)
	}
	return a.restore(ctx, name, o.restoreOptions, func(cfg *config.Config, v *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		options, c, err := a.clusterOptions(ctx, cfg, o.shard)
		if err != nil {
			return nil, err
		}
		admin, err := a.admin(ctx, c)
		if err != nil {
			return nil, err
		}
		return r.Table(ctx, p, restore.TableOptions{
			Shard: o.shard, Database: db, Table: tab, Replace: o.replace, Nodes: options.Nodes, Login: admin, Lineage: options.Lineage,
		})
	})
}

func newRestoreFilesCommand(a *app) *cobra.Command {
	var o restoreOptions
	var to string
	c := &cobra.Command{
		Use:   "files POINT [PATH...] --to DIR",
		Short: "bring files of the configuration back",
		Long: "Writes files with their owners, modes and attributes into a directory. A PATH begins with the name of a component,\n" +
			"ctl1/etc/kolla/mariadb or ctl1:/etc/kolla/mariadb; without one every file of every host is written.",
		Args:              cobra.MinimumNArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable),
		ValidArgsFunction: a.completePoint,
		RunE: func(c *cobra.Command, args []string) error {
			return a.restoreFiles(c.Context(), args[0], args[1:], to, o)
		},
	}
	o.add(a, c)
	c.Flags().StringVar(&to, "to", "", "write to `DIR`, which is absent or empty")
	_ = c.MarkFlagRequired("to") // the flag exists
	return c
}

func (a *app) restoreFiles(ctx context.Context, name string, paths []string, to string, o restoreOptions) error {
	return a.restore(ctx, name, o, func(_ *config.Config, _ *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		return r.Files(ctx, p, paths, to)
	})
}

// clusterOptions are how the nodes of a shard are reached and driven today.
func (a *app) clusterOptions(ctx context.Context, cfg *config.Config, shard int) (restore.ClusterOptions, *cloud, error) {
	o := restore.ClusterOptions{Shard: shard, Lineage: restore.Lineage{File: filepath.Join(cfg.State, "lineage.json")}}
	if cfg.MariaDB == nil {
		return o, nil, problem.New(problem.Usage, "add mariadb to "+cfg.File, "no database is configured")
	}
	c, err := a.loadCloud(ctx, cfg)
	if err != nil {
		return o, nil, err
	}
	shards, err := a.shards(ctx, c)
	if err != nil {
		return o, nil, err
	}
	i := slices.IndexFunc(shards, func(s mariadb.Shard) bool { return s.ID == shard })
	if i < 0 {
		return o, nil, problem.New(problem.Usage, "the inventory's host variable mariadb_shard_id tells which there are", "there is no shard %d", shard)
	}
	o.Login.User, o.Login.Password = shards[i].User, shards[i].Password
	o.Control = c.control()
	o.Nodes, err = c.clusterNodes(shard)
	return o, c, err
}
