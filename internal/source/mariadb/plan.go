package mariadb

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// Keys of Task.Args.
const (
	argShard = "shard"
	argNode  = "node"
	argImage = "image"
	argLSN   = "lsn"   // of the node when the copy was planned
	argSeqno = "seqno" // the same, of the last write set that it had applied
)

const (
	physicalTree = "physical"
	logicalTree  = "logical"
)

// Plan looks at every node of every shard and says from which one each copy would be taken, and why.
func (s *Source) Plan(ctx context.Context) (source.Plan, error) {
	var plan source.Plan
	for _, shard := range s.opt.Shards {
		seen := s.observe(ctx, shard)
		if err := ctx.Err(); err != nil {
			return plan, err
		}
		s.planShard(ctx, &plan, shard, seen)
	}
	s.planImages(ctx, &plan)
	return plan, nil
}

// planShard plans both copies of a shard. They are taken from different nodes where two nodes other than the writer
// are fit, so that neither carries the load of both.
func (s *Source) planShard(ctx context.Context, plan *source.Plan, shard Shard, seen []observation) {
	physical, logical := s.task(shard, physicalTree), s.task(shard, logicalTree)
	r := rank(seen, s.opt.Previous(ctx, physical.Name))
	for _, no := range r.rejected {
		plan.Notes = append(plan.Notes, fmt.Sprintf("shard %d: not from %s", shard.ID, no))
	}
	if len(r.order) == 0 {
		for _, t := range []source.Task{physical, logical} {
			t.Reason = "no node of the shard can be read: " + or(strings.Join(r.rejected, "; "), "the inventory names none")
			plan.Skipped = append(plan.Skipped, t)
		}
		return
	}
	assign(&physical, seen, r.order[0])
	remember(&physical, seen[r.order[0].node].facts)
	assign(&logical, seen, r.second())
	physical.Estimate, logical.Estimate = estimate(ctx, seen[r.order[0].node])
	plan.Tasks = append(plan.Tasks, physical, logical)
}

func (s *Source) task(shard Shard, what string) source.Task {
	name := fmt.Sprintf("shard%d/%s", shard.ID, what)
	t := source.Task{
		Source: SourceName, Name: name, Kind: point.Physical, Mode: point.Full, Path: SourceName + "/" + name,
		Required: true, Args: map[string]string{argShard: fmt.Sprint(shard.ID)},
	}
	if what == logicalTree {
		t.Kind = point.Logical
	}
	return t
}

func assign(t *source.Task, seen []observation, c choice) {
	t.Host, t.Reason, t.Args[argNode] = seen[c.node].Name, c.reason, seen[c.node].Name
}

// remember keeps where a node was before anything was captured. A page that has not changed since then was not written to
// while the copies were taken, so that a table of such pages is the same in both.
func remember(t *source.Task, f facts) {
	t.Args[argLSN] = f.get("innodb_lsn_current")
	if f.galera() {
		t.Args[argSeqno] = f.get("wsrep_last_committed")
	}
}

// recall adds to id what remember kept.
func recall(id map[string]any, t source.Task) {
	for key, arg := range map[string]string{"planned_lsn": argLSN, "planned_seqno": argSeqno} {
		if n, err := strconv.ParseInt(t.Args[arg], 10, 64); err == nil {
			id[key] = n
		}
	}
}

// second is the node for the other copy: the next best one if it disturbs as little as the best, else the best again.
func (r ranking) second() choice {
	if len(r.order) > 1 && r.order[1].weight <= heavy && r.order[0].weight <= heavy {
		c := r.order[1]
		c.reason += ", apart from the physical copy"
		return c
	}
	return r.order[0]
}

// estimate guesses what will be read: the data files, and the rows' size for the dump. Both are only for progress, so
// that a failure counts as unknown.
func estimate(ctx context.Context, o observation) (physical, logical int64) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if p, err := o.sess.place(ctx, o.facts.get("datadir")); err == nil {
			physical = p.size
		}
	})
	rows, err := o.sess.query(ctx, "SELECT CAST(COALESCE(SUM(DATA_LENGTH),0) AS UNSIGNED) FROM information_schema.TABLES "+
		"WHERE TABLE_SCHEMA NOT IN ('information_schema','performance_schema','sys')")
	if err == nil && len(rows) == 1 {
		logical, _ = strconv.ParseInt(rows[0][0], 10, 64)
	}
	wg.Wait()
	return physical, logical
}

// Kinds of tool that a capture needs.
const (
	toolBackup = "mariadb-backup"
	toolDump   = "mariadb-dump"
)

// ready looks at a planned node once more, since time has passed, and makes sure that the tool can do its work there.
func (s *session) ready(ctx context.Context, tool string) (facts, error) {
	have := map[string]string{toolBackup: s.tools.backup, toolDump: s.tools.dump}[tool]
	if have == "" {
		return facts{}, problem.New(problem.Failed, "install "+tool+" of the server's version there",
			"%s has no %s", s.node.Host, tool)
	}
	f, err := s.entitled(ctx, tool)
	if err != nil {
		return f, explain(err, "look at", s.node.Name)
	}
	if why := unusable(observation{Node: s.node, facts: f}); why != "" {
		return f, problem.New(problem.Failed, "plan the backup again, so that another node is chosen",
			"%s cannot be read any more: %s", s.node.Name, why)
	}
	return f, nil
}
