package lab

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Tables of the schema bulk, bulk.events_1 and so on, and what one of their rows takes in a datadir.
const (
	bulkTables   = 4
	bulkRowBytes = 740
)

// loadBulk fills the schema bulk with about mib MiB. A row is mostly hexadecimal digest, the rest words, so that a
// compressor gets about 2.5:1, as with the tables of a real cloud. The same size gives the same rows.
func loadBulk(ctx context.Context, run runSQL, mib int) error {
	if err := run(ctx, strings.NewReader("CREATE DATABASE bulk DEFAULT CHARACTER SET utf8mb4")); err != nil {
		return fmt.Errorf("create schema bulk: %w", err)
	}
	rows := mib << 20 / bulkTables / bulkRowBytes
	group, ctx := errgroup.WithContext(ctx)
	for i := range bulkTables {
		group.Go(func() error {
			return run(ctx, strings.NewReader(bulkSQL(fmt.Sprintf("events_%d", i+1), rows)))
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("fill schema bulk: %w", err)
	}
	return nil
}

// bulkSQL makes one table. Its column body has no index, so that an UPDATE of a range of ids changes just those rows.
func bulkSQL(table string, rows int) string {
	return fmt.Sprintf(`USE bulk;
SET unique_checks=0, foreign_key_checks=0;
CREATE TABLE %[1]s (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  project_id CHAR(32) NOT NULL,
  state VARCHAR(20) NOT NULL,
  body VARCHAR(1000) NOT NULL,
  updated_at DATETIME NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO %[1]s
SELECT seq, MD5(seq DIV 997), ELT(1 + seq %% 4, 'available', 'in-use', 'error_deleting', 'detaching'),
  CONCAT('{"event": "compute.instance.update", "publisher": "nova-compute:cmp', seq %% 12, '", "payload": "',
    SHA2(CONCAT('%[1]s', seq), 512), SHA2(CONCAT('b', seq, '%[1]s'), 512), SHA2(CONCAT(seq, '%[1]s'), 512), SHA2(CONCAT('d', seq, '%[1]s'), 512),
    '", "priority": "INFO"}'),
  TIMESTAMP('2026-01-01') + INTERVAL seq SECOND
FROM seq_1_to_%[2]d;
`, table, rows)
}
