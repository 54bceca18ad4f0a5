package journey

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/lab"
)

// volatile are tables that a server writes by itself.
const volatile = "'gtid_slave_pos','innodb_table_stats','innodb_index_stats','general_log','slow_log','wsrep_cluster','wsrep_cluster_members','wsrep_streaming_log','wsrep_allowlist','transaction_registry','event'"

// Sums returns the checksum of every table on a node, by DB.TABLE; views have none.
func Sums(t testing.TB, l *lab.Lab, node string) map[string]string {
	t.Helper()
	ctx := context.Background()
	list, err := l.SQL(ctx, node, "SET SESSION group_concat_max_len=1048576; SELECT GROUP_CONCAT(CONCAT('`',REPLACE(TABLE_SCHEMA,'`','``'),'`.`',REPLACE(TABLE_NAME,'`','``'),'`') SEPARATOR ',') "+
		"FROM information_schema.TABLES WHERE TABLE_TYPE='BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema','performance_schema','sys') "+
		"AND NOT (TABLE_SCHEMA='mysql' AND TABLE_NAME IN ("+volatile+")) GROUP BY TABLE_SCHEMA")
	if err != nil {
		t.Fatal(err)
	}
	var statements []string
	for _, tables := range strings.Split(strings.TrimSpace(list), "\n") {
		statements = append(statements, "CHECKSUM TABLE "+tables)
	}
	out, err := l.SQL(ctx, node, strings.Join(statements, ";"))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(out) {
		if name, sum, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			sums[name] = sum
		}
	}
	if len(sums) < 100 {
		t.Fatalf("only %d tables have checksums: the list is cut", len(sums))
	}
	return sums
}

// SameSums fails the test for every table that differs, leaving out those named.
func SameSums(t testing.TB, want, got map[string]string, except ...string) {
	t.Helper()
	skip := map[string]bool{}
	for _, name := range except {
		skip[name] = true
	}
	for name, sum := range want {
		if !skip[name] && got[name] != sum {
			t.Errorf("table %s has checksum %q, want %q", name, got[name], sum)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !skip[name] {
			t.Errorf("table %s was not there before", name)
		}
	}
}
