package mariadb

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sampleTime is how long commits are counted to find the writer.
const sampleTime = 500 * time.Millisecond

// facts are what a server says of itself: the global variables and status values listed in factsSQL, by lower-case name.
type facts struct {
	values  map[string]string
	written int64 // write sets that began on this node during the sample
}

// observation is one node as seen from here.
type observation struct {
	Node
	sess  *session
	facts facts
	err   error
}

// get returns a variable or status value, or "".
func (f facts) get(name string) string { return f.values[name] }

// number returns a value as a number, 0 when it is none.
func (f facts) number(name string) int64 {
	n, _ := strconv.ParseInt(f.values[name], 10, 64)
	return n
}

// on reports whether a switch is set.
func (f facts) on(name string) bool { return f.values[name] == "ON" || f.values[name] == "1" }

func (f facts) galera() bool { return f.on("wsrep_on") }

// SHOW is used because a node outside the primary component still answers it.
const factsSQL = `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','hostname','port','datadir','log_bin','log_slave_updates',` +
	`'gtid_binlog_pos','gtid_domain_id','server_id','innodb_page_size','innodb_checksum_algorithm','innodb_log_file_size',` +
	`'wsrep_on','wsrep_desync','wsrep_node_name','wsrep_gtid_mode'); ` +
	`SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected','wsrep_ready','wsrep_connected','wsrep_cluster_status',` +
	`'wsrep_cluster_state_uuid','wsrep_cluster_size','wsrep_local_state_comment','wsrep_local_recv_queue',` +
	`'wsrep_last_committed','wsrep_replicated','Innodb_lsn_current')`

// look reads a server's facts. With sample set it also counts the writes that begin there meanwhile.
func look(ctx context.Context, s *session, sample bool) (facts, error) {
	sql := factsSQL
	if sample {
		sql += fmt.Sprintf("; DO SLEEP(%.3f); SHOW GLOBAL STATUS LIKE 'wsrep_replicated'", sampleTime.Seconds())
	}
	rows, err := s.query(ctx, sql)
	if err != nil {
		return facts{}, err
	}
	return parseFacts(rows), nil
}

// parseFacts takes name and value rows; wsrep_replicated may come again at the end of a sample.
func parseFacts(rows [][]string) facts {
	f := facts{values: map[string]string{}}
	for _, r := range rows {
		if len(r) != 2 {
			continue
		}
		name, value := strings.ToLower(r[0]), r[1]
		if _, again := f.values[name]; again {
			n, _ := strconv.ParseInt(value, 10, 64)
			f.written = max(0, n-f.number(name))
			continue
		}
		f.values[name] = value
	}
	return f
}

// observe looks at every node of a shard at once.
func (s *Source) observe(ctx context.Context, shard Shard) []observation {
	seen := make([]observation, len(shard.Nodes))
	var wg sync.WaitGroup
	for i, n := range shard.Nodes {
		wg.Go(func() {
			seen[i] = observation{Node: n}
			seen[i].sess, seen[i].err = s.session(ctx, shard, n)
			if seen[i].err == nil {
				seen[i].facts, seen[i].err = look(ctx, seen[i].sess, len(shard.Nodes) > 1)
			}
		})
	}
	wg.Wait()
	return seen
}

// identity is what a copy from this server is a copy of.
func (f facts) identity(n Node) map[string]any {
	id := map[string]any{
		"node":             n.Name,
		"server_version":   f.get("version"),
		"server_hostname":  f.get("hostname"),
		"datadir":          strings.TrimRight(f.get("datadir"), "/"),
		"innodb_page_size": f.number("innodb_page_size"),
		"innodb_checksum":  f.get("innodb_checksum_algorithm"),
		"galera":           f.galera(),
		"pitr":             f.pitr(),
	}
	if f.galera() {
		id["cluster_uuid"] = f.get("wsrep_cluster_state_uuid")
		id["cluster_size"] = f.number("wsrep_cluster_size")
		id["wsrep_node_name"] = f.get("wsrep_node_name")
	}
	return id
}

// pitr says whether this server's binary logs could bring a copy forward: "off" without them, "unsafe" when they hold
// only what began on this node or number it in a way that the other nodes do not share, else "safe".
func (f facts) pitr() string {
	switch {
	case !f.on("log_bin"):
		return "off"
	case f.galera() && !(f.on("log_slave_updates") && f.on("wsrep_gtid_mode")):
		return "unsafe"
	}
	return "safe"
}
