// Package mariadb captures MariaDB, alone or as a Galera cluster: a physical copy by mariadb-backup, a logical copy by
// mariadb-dump, and the image the server runs from, since only the same version can prepare the physical copy.
//
// A shard is one Galera cluster. Every command runs on the node whose data it reads and talks to that node's own
// server, never through a proxy. A copy is good only when its producer ended well, said so on stderr, and its stream
// proved its own end.
package mariadb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/source"
)

// SourceName is the word for this source on the command line and in manifests.
const SourceName = "mariadb"

// Node is one server of a shard.
type Node struct {
	Name string    // inventory name
	Host host.Host // where the server's datadir is and its tools run: inside the container, if there is one
	// Engine is where the container engine is asked about the container and its image; nil when the server is no
	// container.
	Engine *Engine
}

// Engine is a container engine on a host, and the container of the server.
type Engine struct {
	Host      host.Host
	Command   string // docker or podman
	Container string
}

// Shard is one Galera cluster, or one server alone. Nodes stand in the order of the inventory.
type Shard struct {
	ID       int
	Nodes    []Node
	User     string
	Password secret.Secret
}

// Options are what a Source needs to know.
type Options struct {
	Shards []Shard
	Desync bool  // set wsrep_desync on the node for the length of a physical backup
	Now    clock // default time.Now
	// Held returns the newest point that holds a good copy of the named component, or "": an image that is held is
	// taken over from there. Nil means that nothing is held.
	Held func(ctx context.Context, component string) string
	// Previous returns the host of the last good copy of the named component, or "". The pages of another node differ
	// even where the rows are equal, so that staying with a node saves space. Nil means that nothing is known.
	Previous func(ctx context.Context, component string) string
}

// clock is where times come from.
type clock = func() time.Time

// Source captures the shards of a cloud.
type Source struct {
	opt Options

	mu       sync.Mutex
	sessions map[string]*session // by shard and node, so that each node is surveyed once
}

var _ source.Source = (*Source)(nil)

// New returns the source for the shards of o.
func New(o Options) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Held == nil {
		o.Held = func(context.Context, string) string { return "" }
	}
	if o.Previous == nil {
		o.Previous = func(context.Context, string) string { return "" }
	}
	return &Source{opt: o, sessions: map[string]*session{}}
}

// Name returns SourceName.
func (s *Source) Name() string { return SourceName }

// Capture streams one planned component into sink; see source.Source.
func (s *Source) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	shard, node, err := s.locate(t)
	if err != nil {
		return source.Outcome{}, err
	}
	if strings.HasPrefix(t.Name, imagePrefix) {
		return s.captureImage(ctx, node, t, sink)
	}
	sess, err := s.session(ctx, shard, node)
	if err != nil {
		return source.Outcome{}, err
	}
	switch {
	case strings.HasSuffix(t.Name, "/physical"):
		out, err := s.capturePhysical(ctx, sess, sink)
		if err == nil {
			recall(out.Identity, t)
		}
		return out, err
	case strings.HasSuffix(t.Name, "/logical"):
		return s.captureLogical(ctx, sess, sink)
	}
	return source.Outcome{}, fmt.Errorf("capture %s: no such component of %s", t.Name, SourceName)
}

// locate finds the shard and node that a task names.
func (s *Source) locate(t source.Task) (Shard, Node, error) {
	for _, shard := range s.opt.Shards {
		if t.Args[argShard] != fmt.Sprint(shard.ID) {
			continue
		}
		for _, n := range shard.Nodes {
			if n.Name == t.Args[argNode] {
				return shard, n, nil
			}
		}
	}
	return Shard{}, Node{}, problem.New(problem.Failed, "plan the backup again with today's inventory",
		"%s: node %q of shard %s is not in the inventory any more", t.Name, t.Args[argNode], t.Args[argShard])
}
