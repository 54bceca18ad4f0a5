package cli

import (
	"holdfast/internal/config"
	"holdfast/internal/source"
	"holdfast/internal/source/ceph"
)

// ceph sets the source of clusters' metadata up.
func (a *app) ceph(from setup) (source.Source, error) {
	o := ceph.Options{Now: a.env.Now}
	for n, k := range from.cfg.Ceph {
		c, err := cluster(k, from.described)
		if err != nil {
			return nil, err
		}
		o.Clusters = append(o.Clusters, ceph.Cluster{Cluster: c, Pools: backedUp(from.cfg, n)})
	}
	return ceph.New(o), nil
}

// backedUp are the pools of the n-th cluster whose images are captured.
func backedUp(cfg *config.Config, n int) (pools []string) {
	if cfg.RBD == nil {
		return nil
	}
	for _, p := range cfg.RBD.Pools {
		if p.Cluster == cfg.Ceph[n].Name || p.Cluster == "" && n == 0 {
			pools = append(pools, p.Name)
		}
	}
	return pools
}
