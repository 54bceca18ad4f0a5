package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// joinTimeout is how long a node may take to become Synced; a full copy of a large datadir takes its time.
const joinTimeout = 6 * time.Hour

// stopGrace is how long a server may take to be gone after what stopped it has returned: a process on its way out closes
// its files when its stop command sees it no more.
const stopGrace = 30 * time.Second

func (k *Cluster) awaitEnd(ctx context.Context, n ClusterNode) error {
	deadline := time.After(stopGrace)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for k.runs(ctx, n) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("the server on %s still runs after it was stopped", n.Name)
		case <-tick.C:
		}
	}
	return nil
}

func (k *Cluster) bootstrap(ctx context.Context) error {
	first := k.o.Nodes[0]
	if err := k.places[0].use(ctx, first); err != nil {
		return err
	}
	if err := k.o.Control.Bootstrap(ctx, first.Node); err != nil {
		return err
	}
	s, err := k.await(ctx, first)
	if err != nil {
		return err
	}
	return k.o.Lineage.Add(s.ClusterUUID, text(k.component.Identity, "cluster_uuid"))
}

// joinStarts is how often a node is started before its join counts as failed. A joiner gives itself up when the donor
// that it asks turns it away; a container engine starts it again by itself, other ways do not.
const joinStarts = 3

func (k *Cluster) join(ctx context.Context, n ClusterNode) error {
	if err := k.o.Control.Join(ctx, n.Node); err != nil {
		return err
	}
	_, err := k.awaitJoined(ctx, n, "join "+n.Name)
	return err
}

// awaitJoined waits for a node that has been started, and starts it again when its server ends before it is Synced.
func (k *Cluster) awaitJoined(ctx context.Context, n ClusterNode, step string) (mariadb.Status, error) {
	for starts := 1; ; starts++ {
		s, err := k.await(ctx, n)
		if !errors.As(err, new(ended)) {
			return s, err
		}
		if starts == joinStarts {
			return s, problem.New(problem.Failed, "read the server's error log on "+n.Name+", mend what it tells and start the server: it takes a full copy from the cluster, which runs without it",
				"%s did not join in %d starts: %w", n.Name, starts, err)
		}
		k.r.emit(event.Event{Kind: event.Note, Component: step, Text: fmt.Sprintf("the server on %s ended before it was Synced and is started again, %d of %d", n.Name, starts+1, joinStarts)})
		if err := k.o.Control.Join(ctx, n.Node); err != nil {
			return s, err
		}
	}
}

// ended is the error of a node on which no server works any more.
type ended struct {
	node string
	last error // of the last try to ask it
}

func (e ended) Error() string {
	return fmt.Sprintf("the server on %s ended before it was Synced: %v", e.node, e.last)
}

func (e ended) Unwrap() error { return e.last }

// await polls a node until it is a synced member of a primary component, or until no server runs there any more.
func (k *Cluster) await(ctx context.Context, n ClusterNode) (mariadb.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for silent, denied := 0, 0; ; {
		s, err := k.status(ctx, n)
		if err == nil && (s.Synced && s.Primary || !s.Galera) {
			return s, nil
		}
		if refusesLogin(err) {
			if denied++; denied >= deadAfter {
				return s, k.strange(n, err)
			}
		} else if err == nil || k.runs(ctx, n) {
			silent = 0
		} else if silent++; silent >= deadAfter {
			return s, &problem.Error{Kind: problem.Failed, Cause: ended{n.Name, err}, Hint: "read the server's error log on " + n.Name}
		}
		select {
		case <-ctx.Done():
			return s, problem.New(problem.Failed, "read the server's error log on "+n.Name, "%s is not Synced: state %q: %w", n.Name, s.State, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// strange is the error of a server that runs and does not let Holdfast in.
func (k *Cluster) strange(n ClusterNode, err error) error {
	return problem.New(problem.Failed, "accounts and passwords are again as they were when the copy was taken: give the password of user "+k.o.Login.User+
		" from then (restore files brings passwords.yml back) in holdfast.yml and run the restore again", "the restored server on %s refuses the login of %s: %w", n.Name, k.o.Login.User, err)
}

// deadAfter is how many looks must find no server, or one that refuses the login, before that counts: an engine restarts a container
// that ends, and a stopped server may be started a moment later.
const deadAfter = 15

// runs reports whether a server works in the node's datadir: its working directory is there, whatever namespaces it is
// in. On a machine that does not tell, one may.
func (k *Cluster) runs(ctx context.Context, n ClusterNode) bool {
	const script = `[ -d "$1" ] || { echo none; exit; }
want=$(stat -Lc %d:%i "$1")
stat -Lc %d:%i /proc/[0-9]*/cwd 2>/dev/null | grep -qxF "$want" || echo none`
	i := slices.IndexFunc(k.o.Nodes, func(have ClusterNode) bool { return have.Name == n.Name })
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", script, "holdfast", k.places[i].datadir}})
	return err != nil || len(out) == 0
}

// check asserts what a restored cluster must be: all nodes in one primary component, synced. A node that had to be
// started again was missing when the others were asked, so they are asked once more.
func (k *Cluster) check(ctx context.Context) error {
	for again := true; ; again = false {
		all, err := k.synced(ctx)
		if err != nil {
			return err
		}
		if err := k.whole(all); err == nil || !again {
			return err
		}
	}
}

// synced waits until every node is.
func (k *Cluster) synced(ctx context.Context) ([]mariadb.Status, error) {
	all := make([]mariadb.Status, len(k.o.Nodes))
	return all, k.each(func(i int) (err error) {
		if i == 0 { // it has started the cluster and might find nobody to join
			all[i], err = k.await(ctx, k.o.Nodes[i])
		} else {
			all[i], err = k.awaitJoined(ctx, k.o.Nodes[i], "check the cluster")
		}
		return err
	})
}

// whole compares what the nodes say of their cluster.
func (k *Cluster) whole(all []mariadb.Status) error {
	for i, s := range all {
		n := k.o.Nodes[i]
		if s.Galera && (s.ClusterUUID != all[0].ClusterUUID || s.ClusterSize != int64(len(all))) {
			return problem.New(problem.Failed, "read the server's error log on "+n.Name, "%s is in cluster %s of %d nodes, want cluster %s of %d",
				n.Name, s.ClusterUUID, s.ClusterSize, all[0].ClusterUUID, len(all))
		}
	}
	return nil
}

// refusesLogin reports whether err is a server's that does not know the user or the password.
func refusesLogin(err error) bool { return err != nil && strings.Contains(err.Error(), "ERROR 1045 ") }
