package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// What stands in for keys that are not given.
const (
	DefaultCeph     = "ceph"
	DefaultCephConf = "/etc/ceph/ceph.conf"
	DefaultCephID   = "holdfast"
	DefaultDistrust = 30
	DefaultSample   = 16
)

// LeastLimit is the least number of bytes in a second that reading may be limited to.
const LeastLimit = 64 << 10

const (
	mostDistrust = 10000
	mostSample   = 4096
	mostOps      = 1024
	leastPiece   = 64 << 10
	mostPiece    = 4 << 20
	mostLimit    = 1 << 40
)

// DefaultCheckpoint is how many images a checkpoint is made after; mostCheckpoint is its bound.
const (
	DefaultCheckpoint = 256
	mostCheckpoint    = 100000
)

func (d *decoder) ceph(n *yaml.Node, at string) Ceph {
	c := Ceph{Name: DefaultCeph, Conf: DefaultCephConf, ID: DefaultCephID}
	found := d.mapping(n, at,
		optional("name", d.text(&c.Name, aName, d.unique("cluster name"))),
		optional("conf", d.path(&c.Conf)),
		optional("id", d.text(&c.ID, aName)),
		optional("run_on", func(n *yaml.Node, at string) { c.RunOn = d.node(n, at) }),
		optional("container", d.text(&c.Container, aName)),
		optional("engine", d.text(&c.Engine, oneOf("docker", "podman"))),
		optional("listen", d.text(&c.Listen, anAddress)),
	)
	if found["name"] == nil {
		if wrong, hint := d.unique("cluster name")(n, c.Name); wrong != "" {
			d.fault(n, hint, "%s: %s", join(at, "name"), wrong)
		}
	}
	if found["engine"] != nil && found["container"] == nil {
		d.fault(found["engine"], "add container:, or leave it out", "%s is used only with container", join(at, "engine"))
	}
	return c
}

func (d *decoder) rbd(n *yaml.Node, at string) *RBD {
	r := &RBD{Distrust: DefaultDistrust, Checkpoint: DefaultCheckpoint, Sample: DefaultSample}
	d.mapping(n, at,
		required("pools", list(d, &r.Pools, d.pool)),
		optional("include", list(d, &r.Include, d.selector)),
		optional("exclude", list(d, &r.Exclude, d.selector)),
		optional("distrust", d.count(&r.Distrust, mostDistrust)),
		optional("checkpoint", d.count(&r.Checkpoint, mostCheckpoint)),
		optional("sample", d.number(&r.Sample, mostSample, "")),
		optional("freeze", func(n *yaml.Node, at string) { r.Freeze = d.freeze(n, at) }),
	)
	return r
}

// pool reads a pool by its name alone, or with what is special about it.
func (d *decoder) pool(n *yaml.Node, at string) Pool {
	var p Pool
	if resolve(n).Kind == yaml.ScalarNode {
		d.text(&p.Name, aName)(n, at)
	} else {
		d.mapping(n, at,
			required("name", d.text(&p.Name, aName)),
			optional("cluster", d.text(&p.Cluster, aName)),
			optional("piece", d.size(&p.Piece, leastPiece, mostPiece)),
			optional("ops", d.number(&p.Ops, mostOps, "")),
			optional("limit", d.size(&p.Limit, LeastLimit, mostLimit)),
		)
	}
	d.later = append(d.later, func(c Config) {
		if p.Cluster == "" && len(c.Ceph) > 0 {
			p.Cluster = c.Ceph[0].Name
		}
		name := p.Name
		if len(c.Ceph) > 1 {
			name = p.Cluster + ":" + p.Name
		}
		if wrong, _ := d.unique("pool")(n, name); wrong != "" && p.Name != "" {
			d.fault(n, "list each pool once", "%s: %s", at, wrong)
		}
	})
	return p
}

// clusters checks what the parts of the file say of each other.
func (d *decoder) clusters(c Config, found map[string]*yaml.Node) {
	if c.RBD == nil {
		return
	}
	if found["ceph"] == nil {
		d.fault(found["rbd"], "add ceph: [{conf: /etc/ceph/ceph.conf}]", "rbd needs ceph to reach its cluster")
	}
	for i, p := range c.RBD.Pools {
		known := slices.ContainsFunc(c.Ceph, func(k Ceph) bool { return k.Name == p.Cluster })
		if p.Cluster != "" && !known {
			d.fault(found["rbd"], "give it the name of one under ceph", "rbd.pools[%d]: there is no cluster %q", i, p.Cluster)
		}
	}
	for i, k := range c.Ceph {
		if k.RunOn != "" && found["kolla"] == nil {
			d.fault(found["ceph"], "add kolla: with its inventory", "%s needs kolla.inventory to find its host", fmt.Sprintf("ceph[%d].run_on", i))
		}
	}
}
