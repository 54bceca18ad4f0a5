package cli

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/backup"
	"holdfast/internal/cephcmd"
	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// cluster is a Ceph cluster of the configuration as its client reaches it.
func cluster(k config.Ceph, described func() (*cloud, error)) (cephcmd.Cluster, error) {
	c := cephcmd.Cluster{Name: k.Name, On: host.Local{}, Conf: k.Conf, ID: k.ID}
	engine := k.Engine
	if k.RunOn != "" || k.Container != "" && engine == "" {
		cloud, err := described()
		if err != nil {
			return c, err
		}
		if k.RunOn != "" {
			h := cloud.inv.Host(k.RunOn)
			if h == nil {
				return c, problem.New(problem.Usage, "name a host of the inventory, or leave run_on out for this one", "ceph %s: there is no host %q", k.Name, k.RunOn)
			}
			if c.On, err = h.Connect(); err != nil {
				return c, err
			}
		}
		if engine == "" {
			engine = cloud.globals.Engine()
		}
	}
	if k.Container != "" {
		c.On = host.Container{On: c.On, Engine: engine, Name: k.Container, Enter: "auto"}
	}
	return c, nil
}

// clusterMaps begins to read the identity of every Ceph cluster, and returns what waits for each.
func clusterMaps(ctx context.Context, cfg *config.Config, described func() (*cloud, error)) []func() (cephcmd.Map, error) {
	var all []func() (cephcmd.Map, error)
	for _, k := range cfg.Ceph {
		read := sync.OnceValues(func() (cephcmd.Map, error) {
			c, err := cluster(k, described)
			if err != nil {
				return cephcmd.Map{}, err
			}
			return c.Map(ctx)
		})
		go read()
		all = append(all, read)
	}
	return all
}

// rbd sets the source of block images up.
func (a *app) rbd(from setup) (*rbd.Source, error) {
	findings, err := verify.Record{Dir: from.cfg.State}.Findings()
	if err != nil {
		return nil, err
	}
	o := rbd.Options{
		Distrust: from.cfg.RBD.Distrust, Sample: from.cfg.RBD.Sample, Limit: from.limit, Now: a.env.Now,
		Copies: copies{from.v, findings}.all, Choose: a.policy(from), Freeze: freeze(from),
	}
	o.Servers = from.chosen != nil && from.cfg.MariaDB != nil // only a backup asks for more than the rules need
	if from.v != nil {
		o.Vault = from.v.ID()
	}
	for n, k := range from.cfg.Ceph {
		c, err := cluster(k, from.described)
		if err != nil {
			return nil, err
		}
		set := rbd.Cluster{Cluster: c, Map: from.maps[n]}
		if n > 0 {
			set.Prefix = k.Name + ":"
		}
		for _, p := range from.cfg.RBD.Pools {
			if p.Cluster == k.Name || p.Cluster == "" && n == 0 {
				set.Pools = append(set.Pools, rbd.Pool{Name: p.Name, Piece: p.Piece, Ops: p.Ops, Limit: p.Limit})
			}
		}
		o.Clusters = append(o.Clusters, set)
	}
	return rbd.New(o), nil
}

// doubt keeps in mind what a failed capture of an image found wrong with the copy before it.
func doubt(found map[string]rbd.Copy, p point.Point, k point.Component) {
	why, _ := k.Identity[rbd.Doubt].(string)
	if copied, ok := found[k.Name]; ok && k.Source == rbd.SourceName && why != "" {
		copied.Doubt = fmt.Sprintf("point %s failed to replace the earlier copy: %s", p.ID, why)
		found[k.Name] = copied
	}
}

// copies answers which images a vault holds; without a vault, none.
type copies struct {
	vault    *vault.Vault
	findings verify.Findings
}

// all returns the newest good copy of every image. One in a point that a verification found damage in is in doubt.
func (c copies) all(ctx context.Context) (map[string]rbd.Copy, error) {
	found := map[string]rbd.Copy{}
	if c.vault == nil {
		return found, nil
	}
	points, err := c.vault.Points(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range points { // oldest first
		for _, k := range p.Components {
			if k.Source != rbd.SourceName || k.State != point.Good {
				doubt(found, p, k)
				continue
			}
			copied := rbd.Copy{Point: p.ID, Component: k}
			if n := c.findings[p.ID].Damaged; n > 0 {
				copied.Doubt = fmt.Sprintf("verification found damage in point %s", p.ID)
			}
			found[k.Name] = copied
		}
	}
	return found, c.addKept(ctx, found, points)
}

// addKept puts what runs that were cut off had kept in the place of older copies.
func (c copies) addKept(ctx context.Context, found map[string]rbd.Copy, points []point.Point) error {
	kept, err := backup.Checkpoints(ctx, c.vault, rbd.SourceName)
	replace(found, kept, points)
	return err
}

// replace puts the copies of checkpoints in the place of older ones, with what failed captures found wrong with them since.
func replace(found map[string]rbd.Copy, kept []backup.Checkpoint, points []point.Point) {
	for _, checkpoint := range kept {
		for _, k := range checkpoint.Components {
			if have, ok := found[k.Name]; !ok || k.Started.After(have.Component.Started) {
				found[k.Name] = rbd.Copy{Point: checkpoint.Run, Component: k, Killed: true}
			}
		}
	}
	for _, p := range points {
		for _, k := range p.Components {
			if copied, ok := found[k.Name]; ok && copied.Killed && k.State != point.Good && k.Started.After(copied.Component.Started) {
				doubt(found, p, k)
			}
		}
	}
}
