package lab

import (
	"fmt"
	"path/filepath"
)

// How a block of ports is divided: ssh from 0, SQL from 20, Galera from 40 with four ports per node; 100 and above
// are Ceph's and OpenStack's.
const (
	sqlOffset    = 20
	galeraOffset = 40
	galeraStride = 4
	maxNodes     = 15
)

// plan names the hosts and nodes and gives each its ports.
func plan(opts Options, base int) *Lab {
	// The first group of a host is the one it is in for its purpose.
	l := &Lab{
		Options: opts, PortBase: base,
		KeyFile:    filepath.Join(opts.Dir, "ssh", "id_ed25519"),
		KnownHosts: filepath.Join(opts.Dir, "ssh", "known_hosts"),
	}
	controls := opts.Galera
	if controls == 0 {
		controls = 3
	}
	var first []string
	for i := range controls {
		first = append(first, l.addHost(fmt.Sprintf("ctl%d", i+1), "control"))
	}
	l.addHost("cmp1", "compute")
	l.addHost("cmp2", "compute")
	l.addHost("sto1", "storage")
	l.addHost("net1", "network")
	if opts.Galera > 0 {
		l.addShards(first)
	}
	if opts.Ceph {
		l.planCeph()
	}
	if opts.OpenStack {
		l.planOpenStack()
	}
	return l
}

func (l *Lab) addHost(name string, groups ...string) string {
	user := "root"
	if name == "ctl3" || name == "sto1" {
		user = SudoUser
	}
	l.Hosts = append(l.Hosts, Host{Name: name, Port: l.PortBase + len(l.Hosts), User: user, Groups: groups})
	return name
}

// addShards puts shard 0 on the control hosts and every further shard on hosts of its own: sh1a, sh1b, ...
func (l *Lab) addShards(controls []string) {
	l.addShard(0, controls)
	for id := 1; id < l.Options.Shards; id++ {
		var names []string
		for i := range l.Options.ShardNodes {
			names = append(names, l.addHost(fmt.Sprintf("sh%d%c", id, 'a'+i), "mariadb", fmt.Sprintf("mariadb_shard_%d", id)))
		}
		l.addShard(id, names)
	}
}

func (l *Lab) addShard(id int, hosts []string) {
	s := Shard{ID: id}
	for _, h := range hosts {
		n := len(l.Nodes()) + len(s.Nodes)
		s.Nodes = append(s.Nodes, Node{
			Host: h, Shard: id,
			SQLPort:    l.PortBase + sqlOffset + n,
			GaleraPort: l.PortBase + galeraOffset + galeraStride*n,
		})
	}
	l.Shards = append(l.Shards, s)
}

// Nodes returns the database nodes of all shards.
func (l *Lab) Nodes() []Node {
	var all []Node
	for _, s := range l.Shards {
		all = append(all, s.Nodes...)
	}
	return all
}

// Node returns the node on the host of that name.
func (l *Lab) Node(name string) (Node, error) {
	for _, n := range l.Nodes() {
		if n.Host == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("no database node %q in this lab", name)
}

func (l *Lab) shard(id int) Shard {
	for _, s := range l.Shards {
		if s.ID == id {
			return s
		}
	}
	return Shard{ID: id}
}

// Host returns the host of that name.
func (l *Lab) Host(name string) (Host, error) {
	for _, h := range l.Hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return Host{}, fmt.Errorf("no host %q in this lab", name)
}

// path joins the lab's directory and elem.
func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.Options.Dir}, elem...)...)
}

// HostDir is the directory on this machine that holds what host name has for its own: etc, var-lib-mysql, run-mysqld,
// var-lib-docker, var-lib-containers, var-log-kolla.
func (l *Lab) HostDir(name string) string { return l.path("hosts", name) }
