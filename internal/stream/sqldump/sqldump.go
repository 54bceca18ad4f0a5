// Package sqldump splits what mariadb-dump writes into one file per table and a few per database, while it streams.
//
// The files in the order that order.json gives, one after the other, are the dump again, byte for byte. One table is
// loaded by header.sql, a USE of the database it shall go to, the table's own file (structure, rows, triggers) and
// footer.sql. Names of files that start with an underscore are never tables:
//
//	header.sql footer.sql order.json
//	DB/_schema.sql           the database itself
//	DB/_sequences.sql
//	DB/TABLE.sql             structure, rows and triggers
//	DB/_view/VIEW.sql        stand-in for a view, so that others can refer to it before it is made
//	DB/_events.sql DB/_routines.sql
//	DB/_views.sql            the views themselves
//
// While it passes by, every row is counted and hashed. The hash of a table is the sum of its rows' hashes, since a
// dump orders rows by the primary key or, without one, as they happen to lie, which differs between servers and after
// a reload.
package sqldump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"holdfast/internal/stream"
)

// Where the parts that every dump has are found, and where a caller puts the output of mariadb-dump --system=users.
const (
	HeaderPath = "header.sql"
	FooterPath = "footer.sql"
	OrderPath  = "order.json"
	GrantsPath = "mysql/_grants.sql"
)

// Options says what the files become in the tree.
type Options struct {
	UID, GID uint32
	ModTime  time.Time
	// Database is the one whose tables a dump of single tables holds, which does not name it.
	Database string
	// Read, if set, is told how many more bytes of the dump were used.
	Read func(n int64)
}

// Table is one table of a dump.
type Table struct {
	DB    string `json:"db"`
	Name  string `json:"name"`
	Path  string `json:"path"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"` // of its file
	Hash  Hash   `json:"hash"`  // of its rows, in whatever order
}

// Summary is what a dump held. As order.json it also tells how to put the dump together again.
type Summary struct {
	Version       int       `json:"version"` // of this layout
	ServerVersion string    `json:"server_version"`
	BinlogFile    string    `json:"binlog_file,omitempty"`
	BinlogPos     uint64    `json:"binlog_pos,omitempty"`
	GTID          string    `json:"gtid,omitempty"`
	CompletedAt   time.Time `json:"completed_at"` // zero for a dump without dates
	Sandbox       bool      `json:"sandbox"`      // the dump begins with the line that clients before 10.5.25 cannot read
	Bytes         int64     `json:"bytes"`        // of the dump
	Rows          int64     `json:"rows"`
	Databases     []string  `json:"databases"`
	Tables        []Table   `json:"tables"`
	Views         []string  `json:"views,omitempty"`    // as DB.VIEW
	Warnings      []string  `json:"warnings,omitempty"` // comments of mariadb-dump that it left something out
	Order         []string  `json:"order"`              // paths whose contents make the dump
}

// Error says where in the dump the trouble is.
type Error struct {
	Offset int64 // bytes from the start of the dump
	Path   string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("read dump at byte %d, in %s: %v", e.Offset, e.Path, e.Err)
}

// Unwrap returns the cause; io.ErrUnexpectedEOF for a dump that was cut.
func (e *Error) Unwrap() error { return e.Err }

// Split reads a whole dump of mariadb-dump --all-databases or --databases into dst. A dump without its completion line
// is an error, and after any error what dst holds must be given up as a whole.
func Split(ctx context.Context, r io.Reader, dst stream.Tree, o Options) (Summary, error) {
	s := &splitter{
		ctx: ctx, dst: dst, opts: o, db: o.Database, delimiter: []byte(";"),
		parts: map[string]int{}, databases: map[string]bool{}, views: map[string]bool{},
		sum: Summary{Version: 1},
	}
	s.in = newInput(r, s.take)
	err := s.run()
	s.sum.Bytes = s.in.offset()
	if err == nil {
		err = s.writeOrder()
	}
	if err != nil && s.part != nil {
		s.part.Abort()
	}
	return s.sum, s.locate(err)
}

func (s *splitter) locate(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Offset: s.in.offset(), Path: s.path, Err: err}
}

func (s *splitter) writeOrder() error {
	data, err := json.MarshalIndent(s.sum, "", " ")
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	f, err := s.dst.Create(OrderPath, s.meta(0o640), stream.Plain)
	if err != nil {
		return fmt.Errorf("create order: %w", err)
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		f.Abort()
		return fmt.Errorf("write order: %w", err)
	}
	return f.Close()
}

func (s *splitter) meta(mode fs.FileMode) stream.Meta {
	return stream.Meta{Mode: mode, UID: s.opts.UID, GID: s.opts.GID, ModTime: s.opts.ModTime}
}
