// Package control stops and starts the nodes of a Galera cluster while it is restored. Kolla's containers are driven
// through kolla-ansible or the container engine; anything else through commands that the operator wrote down.
package control

import (
	"context"

	"holdfast/internal/host"
)

// Node is a server of a cluster as its machine sees it.
type Node struct {
	Name    string
	Machine host.Host // the machine, outside any container
}

// Control drives the nodes of one cluster. Every method returns when what it asked for is done or has failed; whether
// a started server has joined the cluster is for the caller to watch.
type Control interface {
	// Describe says in a few words how nodes are driven, for the plan of a restore.
	Describe() string
	// Stop shuts a server down cleanly. Stopping one that does not run is no error.
	Stop(ctx context.Context, n Node) error
	// Bootstrap starts a server as the first of a new cluster.
	Bootstrap(ctx context.Context, n Node) error
	// Join starts a server that finds the others. Starting one that runs is no error.
	Join(ctx context.Context, n Node) error
}
