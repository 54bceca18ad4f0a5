// Package lab brings up a small real cloud on this machine: hosts with their own /etc/kolla, sshd and process table, a
// Galera cluster with the OpenStack schemas, and a Kolla deployment that describes it all. Everything listens on
// 127.0.0.1 and lives in one directory, and nothing is left when the lab is down.
//
// A host is a set of private namespaces (mount, hostname, processes) held by one shell. The processes of a host end
// with that shell, so that taking a lab down is a matter of a few signals. A host is recognised by its mount table and
// never by a remembered process number, which somebody else may have by now.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/internal/lab/kollatree"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Options says what a lab holds.
type Options struct {
	Dir        string // everything of the lab; absent or empty before Up
	Galera     int    // nodes of the first Galera cluster; 0: hosts with sshd only
	Shards     int    // Galera clusters; default 1
	ShardNodes int    // nodes of each further cluster; default 1
	Containers bool   // mariadbd runs in a container named mariadb, one docker engine per host
	Podman     bool   // those engines are podman, which Containers is implied by
	Rows       int    // scale of the seeded rows; 0 is the default scale
	BulkMiB    int    // size of the schema bulk in MiB, for benches
	SST        string // wsrep_sst_method; default rsync
	Seed       int64  // of the rows; the same seed gives the same rows
	Ceph       bool   // a Ceph cluster on the storage host, with what the services keep there
	EmptyPools bool   // nothing is in the Ceph cluster's pools
	Tiers      bool   // holdfast.yml has a tier in the gateway, if there is one, and one that a host serves by sftp
	OpenStack  bool   // Keystone, Glance and Cinder run beside Ceph and the first Galera cluster, which it implies
	Bound      bool   // the lab ends with the process that brought it up, however that ends
}

// Lab is a running lab. It is also the content of DIR/lab.json.
type Lab struct {
	Options    Options
	PortBase   int // first port of the block that belongs to this lab
	Hosts      []Host
	Shards     []Shard
	KeyFile    string // private key of every host's user
	KnownHosts string
	Ceph       *Ceph          // nil without one
	OpenStack  *OpenStack     // nil without one
	Kolla      kollatree.Tree // where the deployment's files are, and its passwords

	rootPassword secret.Secret
	lifeline     *os.File // of a bound lab: its hosts end when this is closed
}

// SudoUser is the user of the hosts whose logins are not root's, as in most deployments: it may become root by sudo.
const SudoUser = "stack"

// Host is one machine of the lab: ssh answers on 127.0.0.1:Port.
type Host struct {
	Name   string
	Port   int
	User   string   // root or SudoUser
	Groups []string // of the inventory
}

// Shard is one Galera cluster.
type Shard struct {
	ID    int
	Nodes []Node
}

// Node is one mariadbd. It has its host's name; SQL answers on 127.0.0.1:SQLPort.
type Node struct {
	Host       string
	Shard      int
	SQLPort    int
	GaleraPort int // group communication; IST is the next port, SST the one after it
}

const stateFile = "lab.json"

// Up brings a lab up in opts.Dir and tells log each step with its seconds. When it fails, what had been started is
// stopped again and the directory is kept for its logs.
func Up(ctx context.Context, opts Options, log func(string)) (*Lab, error) {
	l, lock, err := prepare(opts, log)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	for _, s := range l.steps(lock) {
		began := time.Now()
		if err := s.do(ctx); err != nil {
			stopErr := l.stop(context.WithoutCancel(ctx))
			return nil, errors.Join(fmt.Errorf("%s: %w", s.name, err), stopErr)
		}
		log(fmt.Sprintf("%-40s %6.2f s", s.name, time.Since(began).Seconds()))
	}
	return l, nil
}

type step struct {
	name string
	do   func(context.Context) error
}

// steps lists what Up does, in order. lock is the lab's block of ports, which the hosts inherit.
func (l *Lab) steps(lock *os.File) []step {
	steps := []step{
		{"keys and Kolla tree", l.writeFiles},
		{fmt.Sprintf("%d hosts with sshd", len(l.Hosts)), func(ctx context.Context) error { return l.startHosts(ctx, lock) }},
	}
	if l.Options.Containers {
		steps = append(steps, step{"container engines", l.startEngines})
	}
	for _, s := range l.Shards {
		steps = append(steps, l.shardSteps(s)...)
	}
	if l.Ceph != nil {
		steps = append(steps, l.cephSteps()...)
	}
	if l.OpenStack != nil {
		steps = append(steps, l.openstackSteps()...)
	}
	return append(steps, step{"lab.json", func(context.Context) error { return l.save() }})
}

// prepare checks that the lab can come up here and reserves its ports.
func prepare(opts Options, log func(string)) (*Lab, *os.File, error) {
	opts = opts.implied()
	if err := checkMachine(opts); err != nil {
		return nil, nil, err
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	if err := claimDir(opts.Dir, log); err != nil {
		return nil, nil, err
	}
	base, lock, err := reservePorts()
	if err != nil {
		return nil, nil, err
	}
	l := plan(opts, base)
	return l, lock, l.save()
}

// implied adds what the options need.
func (o Options) implied() Options {
	if o.OpenStack {
		o.Ceph, o.Galera = true, max(o.Galera, 1)
	}
	o.Containers = o.Containers || o.Podman
	return o
}

func (o Options) withDefaults() (Options, error) {
	dir, err := resolve(o.Dir)
	if err != nil {
		return o, err
	}
	o.Dir = dir
	o.Shards, o.ShardNodes = max(o.Shards, 1), max(o.ShardNodes, 1)
	if o.SST == "" {
		o.SST = "rsync"
	}
	if n := o.Galera + (o.Shards-1)*o.ShardNodes; n > maxNodes {
		return o, problem.New(problem.Usage, fmt.Sprintf("a lab has room for %d", maxNodes), "%d database nodes", n)
	}
	return o, nil
}
