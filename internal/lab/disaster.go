package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Destroy loses the data of every database node: the servers are killed and their datadirs emptied.
func (l *Lab) Destroy(ctx context.Context) error {
	for _, n := range l.Nodes() {
		if err := l.Kill(ctx, n.Host); err != nil {
			return err
		}
	}
	for _, n := range l.Nodes() {
		if err := empty(l.Datadir(n.Host)); err != nil {
			return fmt.Errorf("empty the datadir of %s: %w", n.Host, err)
		}
	}
	return nil
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// tablesSQL lists the tables whose rows only clients write, a line for each schema. It leaves out those that a server
// fills by itself.
const tablesSQL = "SET SESSION group_concat_max_len=1048576; " +
	"SELECT GROUP_CONCAT(CONCAT('`',REPLACE(TABLE_SCHEMA,'`','``'),'`.`',REPLACE(TABLE_NAME,'`','``'),'`') SEPARATOR ',') " +
	"FROM information_schema.TABLES WHERE TABLE_TYPE='BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema','performance_schema','sys') " +
	"AND NOT (TABLE_SCHEMA='mysql' AND TABLE_NAME IN ('gtid_slave_pos','innodb_table_stats','innodb_index_stats','general_log'," +
	"'slow_log','wsrep_cluster','wsrep_cluster_members','wsrep_streaming_log','wsrep_allowlist','transaction_registry','event')) " +
	"GROUP BY TABLE_SCHEMA"

// Checksums returns the checksum of every table on a node, by DB.TABLE.
func (l *Lab) Checksums(ctx context.Context, node string) (map[string]string, error) {
	list, err := l.SQL(ctx, node, tablesSQL)
	if err != nil {
		return nil, err
	}
	var sql strings.Builder
	for tables := range strings.Lines(list) {
		sql.WriteString("CHECKSUM TABLE " + strings.TrimSpace(tables) + ";\n")
	}
	out, err := l.SQL(ctx, node, sql.String())
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range strings.Lines(out) {
		if name, sum, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t"); ok {
			sums[name] = sum
		}
	}
	return sums, nil
}
