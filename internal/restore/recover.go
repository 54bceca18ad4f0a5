package restore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/internal/problem"
)

// Execute restores the cluster. Until the servers are stopped nothing of the old one is touched; after that an error
// says how to take the restore back.
func (k *Cluster) Execute(ctx context.Context) error {
	release, err := k.alone(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := k.stage(ctx); err != nil {
		k.discard()
		return err
	}
	if err := k.replace(ctx); err != nil {
		return &problem.Error{
			Kind: problem.KindOf(err), Op: "restore the cluster", Cause: err,
			Hint: k.afterwards(err),
		}
	}
	return nil
}

// afterwards is the hint of a restore that failed once the servers were asked to stop.
func (k *Cluster) afterwards(err error) string {
	hint := "the old datadirs are kept. To take the restore back: "
	switch {
	case k.moved == 0 && !k.stopped:
		return strings.TrimPrefix(problem.HintOf(err)+fmt.Sprintf("; no datadir was touched. The prepared copy stays in %s on %s for the next run of this restore; remove it to give that up. "+
			"To go on as before: while a server still runs, start those that were stopped, which join it. Only if none runs, %s", k.staging(), k.o.Nodes[0].Name, k.restart()), "; ")
	case k.moved == 0:
		hint = fmt.Sprintf("no datadir was touched. The prepared copy stays in %s on %s for the next run of this restore; remove it to give that up. To go on as before: ",
			k.staging(), k.o.Nodes[0].Name)
	}
	return strings.TrimPrefix(problem.HintOf(err)+"; "+hint+strings.Join(k.undo(k.moved), "; "), "; ")
}

// staging is where the first node's new datadir is prepared.
func (k *Cluster) staging() string { return k.places[0].staging(k.plan.Point) }

// stage writes and prepares the new datadir beside the old one of the first node, while the cluster may still run. One
// that an interrupted restore has prepared to the end is taken as it is.
func (k *Cluster) stage(ctx context.Context) error {
	n, p, id := k.o.Nodes[0], k.places[0], k.plan.Point
	if p.ready {
		return nil
	}
	if err := k.r.step("write to "+n.Name, func() error { return k.send(ctx, n, p.staging(id)) }); err != nil {
		return problem.Wrap(err, "write the copy to", n.Name)
	}
	return k.r.step("prepare on "+n.Name, func() error {
		if err := p.prepare(ctx, n, id); err != nil {
			return err
		}
		return p.own(ctx, n, id) // says that it is whole, so only then
	})
}

// discard takes the staged files away again; what cannot be removed is left for the operator to see.
func (k *Cluster) discard() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = sh(ctx, k.o.Nodes[0].Machine, `rm -rf "$1"`, k.staging())
}

// replace stops the servers, exchanges the datadirs and brings the cluster up again.
func (k *Cluster) replace(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"stop all servers", k.stopAll},
		{"move the old datadirs aside", k.exchange},
		{"start " + k.o.Nodes[0].Name + " as a new cluster", k.bootstrap},
	}
	for _, n := range k.o.Nodes[1:] {
		steps = append(steps, struct {
			name string
			do   func(context.Context) error
		}{"join " + n.Name, func(ctx context.Context) error { return k.join(ctx, n) }})
	}
	for _, s := range steps {
		if err := k.r.step(s.name, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	return k.r.step("check the cluster", func() error { return k.check(ctx) })
}

// stopAll stops a Synced node last, the first where it is one, so that it is the one that may bootstrap should the restore be
// taken back, and one at a time: when two of three leave at once, the third loses its quorum, and Galera forgets that it was
// the last. Which nodes are Synced is asked again: writing the copy took its time.
func (k *Cluster) stopAll(ctx context.Context) error {
	k.ahead = aheadOf(k.ask(ctx))
	k.plan.Undo = k.undo(len(k.o.Nodes))
	last := max(k.ahead, 0)
	for i := len(k.o.Nodes) - 1; i >= 0; i-- {
		if i == last {
			continue
		}
		if err := k.stop(ctx, k.o.Nodes[i]); err != nil {
			return err
		}
	}
	if err := k.stop(ctx, k.o.Nodes[last]); err != nil {
		return err
	}
	k.stopped = true
	return nil
}

func (k *Cluster) stop(ctx context.Context, n ClusterNode) error {
	if err := k.o.Control.Stop(ctx, n.Node); err != nil {
		return err
	}
	return k.awaitEnd(ctx, n)
}

// exchange moves the datadirs on all nodes at once. What some nodes have done when one fails is found by the next run.
func (k *Cluster) exchange(ctx context.Context) error {
	k.moved = len(k.o.Nodes)
	return k.each(func(i int) error {
		staged := ""
		if i == 0 {
			staged = k.staging()
		}
		return k.places[i].exchange(ctx, k.o.Nodes[i], k.plan.Point, staged)
	})
}

// each does something for all nodes at once, waits for all of them, and returns the first node's error that there is.
func (k *Cluster) each(do func(i int) error) error {
	errs := make([]error, len(k.o.Nodes))
	var wg sync.WaitGroup
	for i := range k.o.Nodes {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
