package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/cephcmd"
	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/restore"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

// imageOptions are the flags of restore image.
type imageOptions struct {
	restoreOptions
	to      string
	as      string
	inPlace bool
	instant bool
	listen  string
}

func newRestoreImageCommand(a *app) *cobra.Command {
	var o imageOptions
	c := &cobra.Command{
		Use:   "image POINT POOL/NAME [--as POOL/NAME | --in-place | --to FILE] [--instant]",
		Short: "bring a block image back",
		Long: "Brings a block image back: as a new image, by default POOL/NAME.restored-POINT; in place, writing only what differs and\n" +
			"keeping what it replaces as a snapshot; or as a raw file with holes. With --instant the new image can be used after a\n" +
			"second, while its data is still copied from here; the command goes on until all is there.",
		Args:              cobra.ExactArgs(2),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Damage),
		ValidArgsFunction: a.completeImage,
		RunE:              func(c *cobra.Command, args []string) error { return a.restoreImage(c.Context(), args[0], args[1], o) },
	}
	o.add(a, c)
	c.Flags().StringVar(&o.as, "as", "", "make the new image `POOL/NAME`")
	c.Flags().BoolVar(&o.inPlace, "in-place", false, "give the image that is there the content that it had")
	c.Flags().StringVar(&o.to, "to", "", "write a raw `FILE` with holes, which does not exist yet")
	c.Flags().BoolVar(&o.instant, "instant", false, "let the new image be used while it is restored")
	c.Flags().StringVar(&o.listen, "listen", "", "serve it at `HOST[:PORT]`, where the computes reach this host; by default the cluster's listen, or where the monitors reach it")
	c.MarkFlagsMutuallyExclusive("as", "in-place", "to")
	c.MarkFlagsMutuallyExclusive("instant", "in-place", "to")
	c.MarkFlagsMutuallyExclusive("instant", "tier") // whoever resumes it reads the first
	return c
}

func (a *app) restoreImage(ctx context.Context, name, image string, o imageOptions) error {
	if o.listen != "" && !o.instant {
		return problem.New(problem.Usage, "add --instant, or leave it out", "--listen is used only with --instant")
	}
	return a.restore(ctx, name, o.restoreOptions, func(cfg *config.Config, v *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		if o.to != "" {
			return r.ImageFile(ctx, p, image, o.to)
		}
		on, err := a.clusterOf(ctx, cfg, image)
		if err != nil {
			return nil, err
		}
		if o.instant {
			if o.listen == "" {
				o.listen = listenFor(cfg, on)
			}
			return r.Instant(ctx, p, image, on, restore.InstantOptions{As: o.as, Listen: o.listen, State: cfg.State})
		}
		if !o.inPlace {
			return r.ImageNew(ctx, p, image, on, o.as)
		}
		points, err := v.Points(ctx)
		if err != nil {
			return nil, err
		}
		return r.ImageInPlace(ctx, p, points, image, on)
	})
}

// clusterOf is the cluster that a component of rbd is of: the one before the colon, else the first.
func (a *app) clusterOf(ctx context.Context, cfg *config.Config, component string) (cephcmd.Cluster, error) {
	if len(cfg.Ceph) == 0 {
		return cephcmd.Cluster{}, problem.New(problem.Usage, "add ceph to "+cfg.File+", or restore to a file with --to", "no Ceph cluster is configured")
	}
	described := func() (*cloud, error) { return a.loadCloud(ctx, cfg) }
	name, _, named := strings.Cut(component, ":")
	for n, k := range cfg.Ceph {
		if named && k.Name == name || !named && n == 0 {
			return cluster(k, described)
		}
	}
	return cephcmd.Cluster{}, problem.New(problem.Usage, "ceph in "+cfg.File+" names the clusters", "there is no cluster %q", name)
}

// listenFor is where the configuration says that images of a cluster are served, "" where it does not.
func listenFor(cfg *config.Config, on cephcmd.Cluster) string {
	for _, k := range cfg.Ceph {
		if k.Name == on.Name {
			return k.Listen
		}
	}
	return ""
}

// completeImage offers points, and then the images of the one that was chosen.
func (a *app) completeImage(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completePoint(c, args, word)
	}
	var names []string
	_ = a.withPoint(c.Context(), args[0], func(_ *config.Config, _ *vault.Vault, p point.Point) error {
		for _, k := range p.Components {
			if k.Source == rbd.SourceName && k.State == point.Good {
				names = append(names, k.Name)
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
