// Package config is holdfast.yml, typed. Parsing reports every error at once as file:line:col with a hint; unknown
// keys are errors.
package config

import (
	"time"

	"holdfast/internal/secret"
)

// Config is the whole file with its defaults filled in.
type Config struct {
	File    string // where it was read
	Cloud   string
	State   string // directory for locks, caches and what is remembered between runs; default /var/lib/holdfast
	Kit     string // directory of the recovery kit; default STATE/kit
	Tiers   []Tier
	Kolla   Kolla
	MariaDB *MariaDB // nil: the source is not configured
	Ceph    []Ceph   // the first is the one meant where none is named; none: the sources ceph and rbd are not configured
	RBD     *RBD     // nil: the source is not configured

	Promises Promises
	Notify   Notify
	Metrics  Metrics
	Schedule Schedule
	Serve    Serve
}

// Tier is a place with a vault.
type Tier struct {
	Name       string
	URL        string // file:///PATH, s3://BUCKET/PREFIX or sftp://USER@HOST:PORT/PATH
	Passphrase SecretRef
	Keep       Keep    // which points stay; default those of the last 7 days for the first tier
	Reserve    float64 // share of the space that stays free, 0 to 1; default 0.10
	S3         *S3     // for s3://, else nil
	SSHConfig  string  // for sftp://, the file that ssh reads in the place of its own; "" is that
	Lock       Lock    // for s3://, how what is stored is locked
	Limits     []Limit // of what is sent, by the time of day; where two overlap the first holds
	Retry      Retry   // when it is tried again after a failure
}

// SecretRef says where a secret comes from; the zero value means that it is asked for on the terminal.
type SecretRef = secret.Ref

// Kolla says where the deployment is described.
type Kolla struct {
	Inventory []string // files or directories, as given to ansible -i
	Config    string   // the deploy host's configuration directory; default /etc/kolla
	// VaultPassword opens an ansible-vault encrypted passwords.yml, only ever to read a KollaKey. The file itself is
	// captured as it stands.
	VaultPassword SecretRef
	Tolerate      float64 // share of the hosts outside deploy, control, network and storage that may be missing; default 0.10
}

// MariaDB says how the database is reached.
type MariaDB struct {
	User     string
	Password SecretRef
	// Admin writes what a table's restore loads; default root with Kolla's database_password.
	Admin Login
	// Run is where mariadbd lives on its host: "container" (Kolla's way, the default) or "host".
	Run       string
	Container string // name of the container; default mariadb
	Engine    string // docker or podman; default Kolla's kolla_container_engine, else docker
	Enter     string // auto (default), exec or nsenter: how a container is entered
	Desync    bool   // set wsrep_desync for the length of a physical backup; needs SUPER
	Shards    []Shard
	Control   Control
}

// Login is a database account.
type Login struct {
	User     string
	Password SecretRef
}

// Shard overrides what the inventory says of one Galera cluster.
type Shard struct {
	ID       int
	Nodes    []string // inventory names
	User     string
	Password SecretRef
}

// Control says how nodes are stopped and started when a cluster is restored.
type Control struct {
	Kind         string // "kolla" (default) or "command"
	KollaAnsible string // path of kolla-ansible; default: found in PATH
	Stop         string // commands for Kind command, run on the node's host by sh
	Start        string
	Bootstrap    string
}

// Ceph is a Ceph cluster, as a client reaches it.
type Ceph struct {
	Name      string // default ceph
	Conf      string // path of ceph.conf where the commands run; default /etc/ceph/ceph.conf
	ID        string // the client without "client."; default holdfast
	RunOn     string // inventory name of the host whose commands ceph and rbd are used; "" is this one
	Container string // there, the container that has the commands; "" is the host itself
	Engine    string // docker or podman, for Container; default Kolla's
	Listen    string // HOST or HOST:PORT at which instant restores serve images; "" is where the monitors reach this host
}

// RBD says which block images are captured.
type RBD struct {
	Pools []Pool
	// Of the pools' images, those are captured that one of Include fits, if there are any, and none of Exclude.
	Include, Exclude []Selector
	// Distrust is after how many runs an image is read in full and compared.
	Distrust int
	// Checkpoint is after how many captured images what was captured is kept should the run be cut off.
	Checkpoint int
	// Sample is how many pieces beside what has changed are read and compared after each increment; 0 is none.
	Sample int
	Freeze *Freeze // nil: no server is frozen
}

// Freeze says which servers' file systems stand still while the snapshots of their images are taken.
type Freeze struct {
	// Those with an image that one of Include fits, if there are any, and none that one of Exclude does.
	Include, Exclude []Selector
	Timeout          time.Duration // after which a server goes on, whatever happens; default 10 seconds
	Run              string        // where libvirt is on a compute: "container" (Kolla's way, the default) or "host"
	Container        string        // default nova_libvirt
	Engine           string        // docker or podman; default Kolla's kolla_container_engine, else docker
	Virsh            string        // the program that freezes; default virsh
}

// Pool is a pool whose images are captured.
type Pool struct {
	Name    string
	Cluster string // name of its Ceph cluster; "" is the first
	Piece   int64  // bytes of the pieces that images are cut into; 0 is by size
	Ops     int    // reads in flight for one image; 0 is Ceph's default
	Limit   int64  // bytes that are read of the pool in a second; 0 is no limit
}

// Selector fits images that are as all of its fields say that are set.
type Selector struct {
	Pool       string            // its name
	Name       string            // pattern of the image's name, as path.Match has it
	VolumeType string            // name or id of the Cinder volume's type
	Project    string            // name or id of the project that owns the volume, image or server
	Metadata   map[string]string // that the Cinder volume has
	Larger     int64             // bytes that the image exceeds
	Smaller    int64             // bytes that it stays below
	Usage      string            // Used or Unused, which a Glance image is by volumes, servers and clones
}
