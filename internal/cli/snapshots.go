package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"holdfast/internal/backup"
	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

func newSnapshotsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshots",
		Short: "list the snapshots that Holdfast keeps of block images",
		Long: "Lists the snapshots that were made for the first tier's vault in the pools of rbd, and what each is there for: the next\n" +
			"difference of an image begins with one.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable),
		RunE:        func(c *cobra.Command, _ []string) error { return a.snapshots(c.Context()) },
	}
	c.AddCommand(newSnapshotsCleanCommand(a))
	return c
}

func newSnapshotsCleanCommand(a *app) *cobra.Command {
	var orphans, dryRun bool
	c := &cobra.Command{
		Use:   "clean",
		Short: "remove snapshots that no run needs",
		Long: "Removes the snapshots of this vault that no run needs any more, as every backup does by itself. With --orphans also those\n" +
			"of disks and volumes whose server or volume was deleted, as the databases have it: such a disk was left behind because\n" +
			"it had a snapshot, and can be removed then. No copy in the vault is touched, and no image.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable, problem.Busy),
		RunE:        func(c *cobra.Command, _ []string) error { return a.cleanSnapshots(c.Context(), orphans, dryRun) },
	}
	a.yesFlag(c.Flags())
	c.Flags().BoolVar(&orphans, "orphans", false, "also of images whose server or volume was deleted")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be removed")
	return c
}

// withImages sets the source of block images up, whose lock it holds meanwhile if the caller changes something.
func (a *app) withImages(ctx context.Context, change bool, do func(*rbd.Source) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if cfg.RBD == nil {
		return problem.New(problem.Usage, "add rbd: with its pools to "+cfg.File, "no block images are configured")
	}
	described := sync.OnceValues(func() (*cloud, error) { return a.loadCloud(ctx, cfg) })
	from := setup{cfg: cfg, described: described, maps: clusterMaps(ctx, cfg, described)}
	return a.withVault(ctx, func(_ *config.Config, v *vault.Vault) error {
		if change {
			unlock, err := backup.Lock(v, rbd.SourceName)
			if err != nil {
				return err
			}
			defer unlock()
		}
		from.v = v
		s, err := a.rbd(from)
		if err != nil {
			return err
		}
		return do(s)
	})
}

func (a *app) snapshots(ctx context.Context) error {
	return a.withImages(ctx, false, func(s *rbd.Source) error {
		list, err := s.Snapshots(ctx, false)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(list)
		}
		return a.printf("%s", tellSnapshots(list))
	})
}

func tellSnapshots(list []rbd.Snapshot) string {
	t := report.NewTable("IMAGE", "SNAPSHOT", "FOR")
	for _, k := range list {
		t.Row(k.Image, k.Snapshot, orNothing(k))
	}
	return t.String()
}

func orNothing(k rbd.Snapshot) string {
	switch {
	case k.Orphan != "":
		return "nobody: " + k.Orphan
	case k.Needed == "":
		return "nothing any more"
	}
	return k.Needed
}

func (a *app) cleanSnapshots(ctx context.Context, orphans, dryRun bool) error {
	return a.withImages(ctx, !dryRun, func(s *rbd.Source) error {
		list, err := s.Snapshots(ctx, orphans)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(k rbd.Snapshot) bool { return k.Needed != "" && k.Orphan == "" })
		if !dryRun && len(list) > 0 {
			if err := a.confirm(ctx, "clean would remove:\n"+tellSnapshots(list)); err != nil {
				return err
			}
			if err := s.Remove(ctx, list); err != nil {
				return err
			}
		}
		return a.tellCleaned(list, dryRun)
	})
}

func (a *app) tellCleaned(list []rbd.Snapshot, dryRun bool) error {
	if a.json {
		return a.printJSON(list)
	}
	if dryRun {
		return a.printf("%s", tellSnapshots(list))
	}
	var left []string
	for _, k := range list {
		if k.Orphan != "" {
			left = append(left, k.Image)
		}
	}
	text := fmt.Sprintf("%d snapshots removed\n", len(list))
	if len(left) > 0 {
		text += "these images are wanted by nobody, and nothing of Holdfast is on them any more: " + strings.Join(left, ", ") + "\n"
	}
	return a.printf("%s", text)
}
