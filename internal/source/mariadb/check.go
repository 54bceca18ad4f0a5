package mariadb

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"holdfast/internal/source"
)

// Check is one thing that was looked at; its name is like "mariadb ctl1: tools".
type Check = source.Check

// How much a check found.
const (
	OK   = source.OK
	Warn = source.Warn
	Fail = source.Fail
)

var _ source.Checker = (*Source)(nil)

// Check implements source.Checker: it looks at every node for what backups need.
func (s *Source) Check(ctx context.Context) []Check {
	var all []Check
	for _, shard := range s.opt.Shards {
		seen := s.observe(ctx, shard)
		for _, o := range seen {
			c := checker{node: o.Name}
			s.checkNode(ctx, &c, o)
			all = append(all, c.found...)
		}
		all = append(all, s.checkChoice(shard, seen)...)
	}
	return all
}

// checker collects what is found on one node.
type checker struct {
	node  string
	found []Check
}

func (c *checker) add(what string, status source.Status, mend, format string, args ...any) {
	c.found = append(c.found, Check{Name: "mariadb " + c.node + ": " + what, Status: status, Detail: fmt.Sprintf(format, args...), Mend: mend})
}

func (s *Source) checkNode(ctx context.Context, c *checker, o observation) {
	if o.err != nil {
		mend := "start the node, or mend what keeps Holdfast from it"
		if p := explain(o.err, "look at", o.Name); p.Hint != "" {
			mend = p.Hint
		}
		c.add("server", Fail, mend, "%v", o.err)
		return
	}
	c.add("server", OK, "", "%s at %s", o.facts.get("version"), o.sess.addr)
	c.tools(ctx, o)
	c.galera(ctx, o)
	c.logs(o.facts)
	c.privileges(ctx, o.sess, s.opt.Desync && o.facts.galera())
	c.space(ctx, o)
}

// checkChoice tells from which nodes a shard would be read.
func (s *Source) checkChoice(shard Shard, seen []observation) []Check {
	c := Check{Name: fmt.Sprintf("mariadb shard %d: node for backups", shard.ID), Status: OK}
	r := rank(seen, "")
	if len(r.order) == 0 {
		c.Status, c.Detail, c.Mend = Fail, strings.Join(r.rejected, "; "), "bring a node of the shard to Primary and Synced"
		return []Check{c}
	}
	c.Detail = seen[r.order[0].node].Name + ": " + r.order[0].reason
	if r.order[0].weight&(isWriter|lagging) != 0 && len(seen) > 1 {
		c.Status, c.Mend = Warn, "bring the other nodes to Synced, so that the writer need not be read"
	}
	return []Check{c}
}

// number finds the version in what a server or a tool says of itself: the one of the server that a tool was built for.
var number = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)-MariaDB`)

// tools checks that they are there, and that mariadb-backup is of the server's version: it reads the server's files.
func (c *checker) tools(ctx context.Context, o observation) {
	if o.sess.tools.dump == "" {
		c.add("mariadb-dump", Fail, "install the MariaDB client tools there", "not found")
	}
	if o.sess.tools.backup == "" {
		c.add("mariadb-backup", Fail, "install mariadb-backup of the server's version there", "not found")
		return
	}
	said := o.sess.version(ctx, o.sess.tools.backup)
	tool, server := number.FindStringSubmatch(said), number.FindStringSubmatch(o.facts.get("version"))
	switch {
	case tool == nil || server == nil:
		c.add("mariadb-backup", Warn, "compare the versions by hand", "its version cannot be read: %q", said)
	case tool[1] != server[1] || tool[2] != server[2]:
		c.add("mariadb-backup", Fail, "install mariadb-backup "+server[1]+"."+server[2]+" there",
			"it is made for %s, the server is %s", tool[0], server[0])
	case tool[0] != server[0]:
		c.add("mariadb-backup", Warn, "bring the tool and the server to one version", "it is made for %s, the server is %s", tool[0], server[0])
	default:
		c.add("mariadb-backup", OK, "", "%s, as the server", tool[0])
	}
}

// galera checks the node's place in its cluster, and that nobody left it out of flow control.
func (c *checker) galera(ctx context.Context, o observation) {
	if !o.facts.galera() {
		c.add("cluster", OK, "", "the server is not part of a Galera cluster")
		return
	}
	if o.facts.on("wsrep_desync") {
		c.add("desync", Warn, "SET GLOBAL wsrep_desync=OFF; -- as a user with SUPER", "%s", whoDesynced(ctx, o.sess))
	}
	if why := unusable(o); why != "" {
		c.add("cluster", Warn, "look at the node's error log", "%s", why)
		return
	}
	c.add("cluster", OK, "", "Primary, Synced, %d nodes", o.facts.number("wsrep_cluster_size"))
}

// whoDesynced says whether the node was left so by a run of Holdfast that was killed together with its guard.
func whoDesynced(ctx context.Context, s *session) string {
	switch marks(ctx, s) {
	case "stale":
		return "wsrep_desync is set, left by a run of Holdfast that was killed together with its guard: the node is not read until it is reset"
	case "live":
		return "wsrep_desync is set by a backup that runs now"
	}
	return "wsrep_desync is set, not by Holdfast: the node does not hold the cluster back and may fall behind"
}

// logs tells whether point-in-time recovery from the binary logs would be right.
func (c *checker) logs(f facts) {
	switch f.pitr() {
	case "off":
		c.add("binary logs", Warn, "set log_bin in galera.cnf", "off: nothing can bring a copy forward")
	case "unsafe":
		c.add("binary logs", Warn, "set log_slave_updates=ON, wsrep_gtid_mode=ON and one wsrep_gtid_domain_id on all nodes in galera.cnf",
			"on, but they hold only what began on this node: point-in-time recovery from them may lose writes")
	default:
		c.add("binary logs", OK, "", "on, fit for point-in-time recovery")
	}
}

// privileges compares what the backup user may do with what its backups need, and gives the SQL for the rest.
func (c *checker) privileges(ctx context.Context, s *session, desync bool) {
	have, who, err := s.privileges(ctx)
	if err != nil {
		c.add("privileges", Fail, explain(err, "look at", c.node).Hint, "%v", err)
		return
	}
	lack := missing(have, needed(true, desync))
	if len(lack) == 0 {
		c.add("privileges", OK, "", "%s may do all that physical and logical backups need", who)
		return
	}
	kind := "logical"
	if len(missing(have, physicalPrivileges)) > 0 {
		kind = "physical"
	}
	c.add("privileges", Fail, grantSQL(lack, who), "%s lacks %s; %s backups would fail", who, strings.Join(lack, ", "), kind)
}

// space warns when the datadir's disk is nearly full: mariadb-backup writes nothing there, but the server must live on.
func (c *checker) space(ctx context.Context, o observation) {
	p, err := o.sess.place(ctx, o.facts.get("datadir"))
	switch {
	case err != nil:
		c.add("datadir", Fail, explain(err, "look at", c.node).Hint, "%v", err)
	case p.free < p.size/20:
		c.add("datadir", Warn, "make room on the node", "%s: only %d MiB free for %d MiB of data", o.facts.get("datadir"), p.free>>20, p.size>>20)
	default:
		c.add("datadir", OK, "", "%s: %d MiB of data, owner %d:%d", o.facts.get("datadir"), p.size>>20, p.uid, p.gid)
	}
}
