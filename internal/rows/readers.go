package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/stream/sqldump"
)

// Running is a server whose tables are read while it runs.
type Running struct {
	// Query runs a statement and returns its rows.
	Query func(ctx context.Context, sql string) ([][]string, error)
}

// Read implements Reader.
func (s Running) Read(ctx context.Context, db, table string, columns []string, each func([]Value) error) error {
	rows, err := s.Query(ctx, selectSQL(db, table, columns))
	if err != nil {
		return absent(err)
	}
	for _, row := range rows {
		if len(row) != len(columns) {
			return fmt.Errorf("a row has %d columns, not %d", len(row), len(columns))
		}
		values := make([]Value, len(row))
		for i, text := range row {
			values[i].Text, values[i].Null = strings.TrimPrefix(text, mark), text == ""
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return nil
}

// mark begins what a column holds, so that it can be told from nothing at all.
const mark = "="

// selectSQL reads every column as text: the client shows what is not there like a word.
func selectSQL(db, table string, columns []string) string {
	quote := func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
	var parts []string
	for _, c := range columns {
		parts = append(parts, "IFNULL(CONCAT('"+mark+"',"+quote(c)+"),'')")
	}
	return "SELECT " + strings.Join(parts, ",") + " FROM " + quote(db) + "." + quote(table)
}

// absent is fs.ErrNotExist if a statement failed for want of its table or database.
func absent(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) && (strings.Contains(exit.Stderr, "ERROR 1146 ") || strings.Contains(exit.Stderr, "ERROR 1049 ")) {
		return fs.ErrNotExist
	}
	return err
}

// Copy is a logical copy, whose tables are read from their own files.
type Copy struct {
	Files fs.FS // as sqldump.Split made them
}

// Read implements Reader.
func (c Copy) Read(ctx context.Context, db, table string, columns []string, each func([]Value) error) error {
	f, err := c.Files.Open(sqldump.TablePath(db, table))
	if err != nil {
		return err
	}
	defer f.Close()
	return sqldump.Rows(cancelled{ctx, f}, columns, each)
}

// cancelled reads until its context ends.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// All reads each table from the first of several that has it: the services' databases may lie on different servers.
type All []Reader

// Read implements Reader.
func (a All) Read(ctx context.Context, db, table string, columns []string, each func([]Value) error) error {
	for _, r := range a {
		if err := r.Read(ctx, db, table, columns, each); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fs.ErrNotExist
}
