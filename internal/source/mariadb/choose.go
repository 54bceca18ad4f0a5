package mariadb

import (
	"fmt"
	"slices"
	"strings"
)

// lagLimit is the receive queue, in write sets, and the distance to the newest write set, above which a node lags.
const lagLimit = 256

// choice is a node to read from, and why.
type choice struct {
	node   int // index into the observations
	weight int // how much is against it
	reason string
}

// What speaks against a node. A heavy one is the writer or lags.
const (
	notPreferred = 1
	lagging      = 2
	isWriter     = 4
	heavy        = notPreferred // the largest weight that a node without fault has
)

// ranking is what the rules make of a shard's nodes.
type ranking struct {
	order    []choice // usable nodes, best first
	rejected []string // "ctl3: why", for nodes that cannot be used
}

// rank orders the nodes of a shard, given in the order of the inventory, by how little a backup on them disturbs.
// Nodes that do not hold the cluster's present data are rejected; the writer, then lagging nodes, come last; among
// equals the preferred node is first, then the inventory decides, so that the choice is stable from run to run.
func rank(nodes []observation, prefer string) ranking {
	var r ranking
	writer, evidence := writerOf(nodes)
	var usable []int
	for i, n := range nodes {
		if why := unusable(n); why != "" {
			r.rejected = append(r.rejected, n.Name+": "+why)
			continue
		}
		usable = append(usable, i)
	}
	front := newest(nodes, usable)
	weight := func(i int) int {
		w := 0
		if i == writer {
			w += isWriter
		}
		if lag(nodes[i].facts, front) > 0 {
			w += lagging
		}
		if nodes[i].Name != prefer {
			w += notPreferred
		}
		return w
	}
	slices.SortStableFunc(usable, func(a, b int) int { return weight(a) - weight(b) })
	for _, i := range usable {
		n := nodes[i]
		r.order = append(r.order, choice{i, weight(i), why(n, len(nodes), i == writer, evidence, lag(n.facts, front), n.Name == prefer)})
	}
	return r
}

// unusable says why a node must not be read, or "".
func unusable(n observation) string {
	f := n.facts
	switch {
	case n.err != nil:
		return "not reachable: " + n.err.Error()
	case !f.galera():
		return ""
	case f.get("wsrep_cluster_status") != "Primary":
		return fmt.Sprintf("its part of the cluster is %s, not Primary", or(f.get("wsrep_cluster_status"), "unknown"))
	case f.get("wsrep_ready") != "ON":
		return "wsrep_ready is " + or(f.get("wsrep_ready"), "unknown")
	case f.get("wsrep_local_state_comment") != "Synced":
		return "it is " + or(f.get("wsrep_local_state_comment"), "in an unknown state") + ", not Synced"
	}
	return ""
}

// writerOf finds the node that the cloud writes to and says by what evidence. Kolla's proxies send every write to one
// node, the first of the inventory while it is well. The result is -1 for a server alone.
func writerOf(nodes []observation) (int, string) {
	if len(nodes) < 2 {
		return -1, ""
	}
	if i, n := peak(nodes, func(f facts) int64 { return f.written }); i >= 0 {
		return i, fmt.Sprintf("%s commits the cloud's writes (%d in %s)", nodes[i].Name, n, sampleTime)
	}
	if i, n := peak(nodes, func(f facts) int64 { return f.number("threads_connected") }); i >= 0 {
		return i, fmt.Sprintf("%s holds the most client connections (%d)", nodes[i].Name, n)
	}
	return 0, nodes[0].Name + " is first in the inventory, where Kolla's proxy writes"
}

// peak returns the one node with the largest measure above zero, or -1 when there is none or several.
func peak(nodes []observation, measure func(facts) int64) (int, int64) {
	best, most, twice := -1, int64(0), false
	for i, n := range nodes {
		if n.err != nil {
			continue
		}
		switch m := measure(n.facts); {
		case m > most:
			best, most, twice = i, m, false
		case m == most:
			twice = true
		}
	}
	if twice {
		return -1, 0
	}
	return best, most
}

// newest is the highest write set that a usable node has applied.
func newest(nodes []observation, usable []int) (front int64) {
	for _, i := range usable {
		front = max(front, nodes[i].facts.number("wsrep_last_committed"))
	}
	return front
}

// lag is how many write sets a node is behind, 0 when it keeps up.
func lag(f facts, front int64) int64 {
	if !f.galera() {
		return 0
	}
	behind := max(f.number("wsrep_local_recv_queue"), front-f.number("wsrep_last_committed"))
	if behind <= lagLimit {
		return 0
	}
	return behind
}

func why(n observation, nodes int, writer bool, evidence string, behind int64, preferred bool) string {
	if !n.facts.galera() {
		return "the server is not part of a Galera cluster"
	}
	if nodes == 1 {
		return "Synced, the only node of its cluster"
	}
	parts := []string{"Synced"}
	switch {
	case writer:
		parts = append(parts, "the writer ("+evidence+"), for want of another node")
	default:
		parts = append(parts, "not the writer ("+evidence+")")
	}
	if behind > 0 {
		parts = append(parts, fmt.Sprintf("%d write sets behind", behind))
	}
	if preferred {
		parts = append(parts, "the node of the last good copy, whose pages are known")
	}
	return strings.Join(parts, ", ")
}

// or returns text, or instead when text is empty.
func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
