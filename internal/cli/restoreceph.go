package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/restore"
	"holdfast/internal/vault"
)

// cephOptions are the flags of restore ceph.
type cephOptions struct {
	restoreOptions
	to      string
	cluster string
	diff    bool
}

func newRestoreCephCommand(a *app) *cobra.Command {
	var o cephOptions
	c := &cobra.Command{
		Use:   "ceph POINT (--to DIR | --diff)",
		Short: "bring a Ceph cluster's own metadata back",
		Long: "Writes what a Ceph cluster knew of itself (configuration, keys, maps, CRUSH rules, pools, gateway, orchestrator, facts of\n" +
			"every image) into a directory, with a plan, RESTORE.md, of which command takes each file back, in which order, and what\n" +
			"to beware of. No cluster is changed. With --diff nothing is written: it shows how the running cluster's CRUSH map, keys\n" +
			"and capabilities differ from those in the point; of keys only whether they are the same.",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.Partial, problem.NotFound, problem.Unreachable),
		ValidArgsFunction: a.completePoint,
		RunE:              func(c *cobra.Command, args []string) error { return a.restoreCeph(c.Context(), args[0], o) },
	}
	o.add(a, c)
	c.Flags().StringVar(&o.to, "to", "", "write to `DIR`, which is absent or empty")
	c.Flags().StringVar(&o.cluster, "cluster", "", "of the cluster called `NAME`, when the point holds several")
	c.Flags().BoolVar(&o.diff, "diff", false, "compare with the running cluster instead")
	c.MarkFlagsOneRequired("to", "diff")
	c.MarkFlagsMutuallyExclusive("to", "diff")
	return c
}

func (a *app) restoreCeph(ctx context.Context, name string, o cephOptions) error {
	if o.diff {
		return a.diffCeph(ctx, name, o.cluster)
	}
	return a.restore(ctx, name, o.restoreOptions, func(_ *config.Config, _ *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		return r.Ceph(ctx, p, o.cluster, o.to)
	})
}

// diffCeph shows how the running cluster differs from a point.
func (a *app) diffCeph(ctx context.Context, name, of string) error {
	return a.withPoint(ctx, name, func(cfg *config.Config, v *vault.Vault, p point.Point) error {
		name, err := restore.CephCluster(p, of)
		if err != nil {
			return err
		}
		on, err := a.clusterOf(ctx, cfg, name+":")
		if err != nil {
			return err
		}
		r := &restore.Restorer{Vault: v, Now: a.env.Now}
		d, err := r.CephDiff(ctx, p, name, on)
		if err != nil {
			return err
		}
		if a.json {
			err = a.printJSON(d)
		} else {
			err = a.printf("%s", describeDiff(d))
		}
		if err == nil && d.Crush.Unknown+d.Auth.Unknown != "" {
			err = problem.New(problem.Partial, "mend what it names and compare again", "not all was compared")
		}
		return err
	})
}

func describeDiff(d restore.CephDiff) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s now, compared with point %s\n", d.Cluster, d.Point)
	if d.FSID.Point != d.FSID.Now {
		fmt.Fprintf(&b, "\nit is another cluster: its fsid is %s, and was %s in the point\n", d.FSID.Now, d.FSID.Point)
	}
	switch c := d.Crush; {
	case c.Unknown != "":
		fmt.Fprintf(&b, "\nCRUSH map: not compared: %s\n", c.Unknown)
	case c.Same:
		b.WriteString("\nCRUSH map: the same\n")
	default:
		fmt.Fprintf(&b, "\nCRUSH map: - in the point, + in the cluster\n\n%s\n", strings.Join(c.Lines, "\n"))
	}
	switch k := d.Auth; {
	case k.Unknown != "":
		fmt.Fprintf(&b, "\nkeys and capabilities: not compared: %s\n", k.Unknown)
	case k.Same:
		b.WriteString("\nkeys and capabilities: the same\n")
	default:
		fmt.Fprintf(&b, "\nkeys and capabilities: %d differ\n\n%s", len(k.Entities), entities(k.Entities))
	}
	return b.String()
}

func entities(all []restore.EntityDiff) string {
	t := report.NewTable("ENTITY", "CHANGE", "KEY", "CAPABILITY", "IN THE POINT", "NOW")
	for _, e := range all {
		services := slices.Sorted(maps.Keys(e.Caps))
		if len(services) == 0 {
			t.Row(e.Entity, e.Change, e.Key, "", "", "")
		}
		for i, s := range services {
			if i == 0 {
				t.Row(e.Entity, e.Change, e.Key, s, e.Caps[s].Point, e.Caps[s].Now)
			} else {
				t.Row("", "", "", s, e.Caps[s].Point, e.Caps[s].Now)
			}
		}
	}
	return fmt.Sprint(t)
}
