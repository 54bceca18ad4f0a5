package drill

import (
	"fmt"
	"regexp"
	"strings"

	"holdfast/internal/point"
	"holdfast/internal/source/mariadb"
)

// moments are where in the history of the cluster the two copies of a run stand.
type moments struct {
	known    bool   // all of them
	lsn      uint64 // of the physical copy's node, before either copy was begun
	planned  int64  // the last write set that it had applied then
	before   int64  // the last that the dump's node had applied before the dump
	after    int64  // and after it
	copied   int64  // where the physical copy stands
	sameNode bool
}

func momentsOf(physical, logical point.Component) (m moments) {
	m.known = text(physical.Identity, "cluster_uuid") != "" && text(physical.Identity, "cluster_uuid") == text(logical.Identity, "cluster_uuid")
	get := func(id map[string]any, key string) int64 {
		n, ok := number(id, key)
		m.known = m.known && ok
		return n
	}
	m.lsn = uint64(get(physical.Identity, "planned_lsn"))
	m.planned, m.copied = get(physical.Identity, "planned_seqno"), get(physical.Identity, "seqno")
	m.before, m.after = get(logical.Identity, "seqno"), get(logical.Identity, "seqno_after")
	m.sameNode = physical.Host == logical.Host
	return m
}

// own are tables that every node writes for itself.
var own = regexp.MustCompile(`^mysql\.(innodb_(table|index)_stats|gtid_slave_pos|wsrep_.*|transaction_registry|general_log|slow_log)$`)

// unwritten reports whether a table is known not to have been written between dump and copy. Lsn is the highest of its pages, if it
// has any. What the dump saw must lie between what the node had applied when the copies were planned, and where the copy stands;
// pages that are older than that plan then are what both saw. Tables without such pages are known only while nothing at all was written.
func (m moments) unwritten(name string, lsn uint64, pages bool) bool {
	switch {
	case !m.known || !m.sameNode && own.MatchString(name):
		return false
	case pages:
		return m.planned <= m.before && m.after <= m.copied && lsn <= m.lsn
	}
	return m.sameNode && m.before == m.after && m.after == m.copied && m.planned == m.before
}

// unwritten is a judge by the highest log sequence numbers of tables, by their files' names.
func (p *part) unwritten(lsn map[string]uint64) (judge, error) {
	logical, _ := p.Point.Component(mariadb.SourceName, fmt.Sprintf("shard%d/logical", p.Shard))
	m := momentsOf(p.component, logical)
	names, err := p.tableNames(lsn)
	if err != nil {
		return nil, err
	}
	return func(db, table string) bool {
		at, pages := names[db+"."+table]
		return m.unwritten(db+"."+table, at, pages)
	}, nil
}

// tableNames makes DB.TABLE of the names of files, in which the server writes odd characters in a way of its own.
func (p *part) tableNames(lsn map[string]uint64) (map[string]uint64, error) {
	names := map[string]uint64{}
	for file, at := range lsn {
		db, table, ok := strings.Cut(file, "/")
		if !ok {
			continue // a file of the whole server
		}
		if strings.Contains(file, "@") {
			rows, err := p.connect(p.admin).Query(p.ctx, fmt.Sprintf("SELECT CONVERT(_filename 0x%x USING utf8mb4), CONVERT(_filename 0x%x USING utf8mb4)", db, table))
			if err != nil || len(rows) != 1 || len(rows[0]) != 2 {
				return nil, cannot(fmt.Errorf("read the name of table %s: %w", file, err), "server", file)
			}
			db, table = rows[0][0], rows[0][1]
		}
		names[db+"."+table] = at
	}
	return names, nil
}
