package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/internal/host"
	"holdfast/internal/stream/sqldump"
)

// rowArgs are those arguments of a dump that decide which rows it sees and how it writes one, so that the same rows are
// always the same text.
var rowArgs = []string{"--single-transaction", "--quick", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"}

// TableSum dumps one table as a capture does and returns the number and the hash of its rows, to compare with those of a
// logical copy. Read is told how many more bytes of the dump were used. When the tool is absent or refuses, the error is
// a *host.ExitError.
func (c *Conn) TableSum(ctx context.Context, database, table string, read func(n int64)) (sqldump.Table, error) {
	s := c.sess
	if s.tools.dump == "" {
		return sqldump.Table{}, &host.ExitError{Host: s.node.Name, Cmd: "mariadb-dump", Code: 127, Stderr: "not found"}
	}
	cmd := buffered(s.command(s.tools.dump, append(slices.Clone(rowArgs), "--skip-triggers", "--", database, table)...))
	cmd.Bulk = true
	var log stderrLog
	cmd.OnStderr = log.add
	var sum sqldump.Summary
	err := host.Stream(ctx, s.node.Host, cmd, func(r io.Reader) (err error) {
		sum, err = sqldump.Sum(ctx, r, sqldump.Options{Database: database, Read: read})
		return err
	})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return sqldump.Table{}, said{exit, log.meaningful()}
	}
	if err == nil && len(sum.Tables) != 1 {
		err = fmt.Errorf("%d tables came, want one", len(sum.Tables))
	}
	if err != nil {
		return sqldump.Table{}, fmt.Errorf("dump %s.%s on %s: %w", database, table, s.node.Name, err)
	}
	return sum.Tables[0], nil
}
