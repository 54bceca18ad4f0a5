package drill

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"sync"

	"holdfast/internal/stream"
	"holdfast/internal/stream/sqldump"
)

// definitions are digests of what a dump says beside rows: tables, views, triggers, routines and events, by the file that it is
// split into.
type definitions map[string][sha256.Size]byte

// beside are files that say nothing of the database.
var beside = []string{sqldump.HeaderPath, sqldump.FooterPath, sqldump.OrderPath, sqldump.GrantsPath}

// isEvents reports whether a file holds events. A server that does not ask who logs in cannot tell its own.
func isEvents(name string) bool { return path.Base(name) == "_events.sql" }

// compareDefinitions holds definitions against those of the dump, but for the files that are to be left out.
func (p *part) compareDefinitions(files fs.FS, want sqldump.Summary, got definitions, without func(name string) bool) error {
	defined, err := definitionsOf(files, want.Order)
	if err != nil {
		return cannot(err, "copy", p.component.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		sum, ok := got[name]
		switch {
		case without != nil && without(name):
		case !ok && !slices.ContainsFunc(want.Tables, func(t sqldump.Table) bool { return path.Clean(t.Path) == name }): // else it was told
			p.finds("definition", name, "what the dump defines there is missing here")
		case ok && sum != defined[name]:
			p.finds("definition", name, "it is not defined as in the dump; a change of the schema between the two copies is one cause")
		}
	}
	return nil
}

func definitionsOf(files fs.FS, order []string) (definitions, error) {
	found := definitions{}
	for _, name := range order {
		name = path.Clean(name)
		if slices.Contains(beside, name) {
			continue
		}
		f, err := files.Open(name)
		if err != nil {
			return nil, err
		}
		d := &definition{sum: sha256.New()}
		_, err = io.Copy(d, bufio.NewReaderSize(f, 1<<20))
		f.Close()
		if err != nil {
			return nil, err
		}
		found[name] = d.digest()
	}
	return found, nil
}

// newDefinitions is a tree that keeps nothing but digests of definitions.
func newDefinitions() *definitionTree { return &definitionTree{all: definitions{}} }

type definitionTree struct {
	stream.Tree // nothing but Mkdir and Create is called by who splits a dump
	mu          sync.Mutex
	all         definitions
}

func (t *definitionTree) found() definitions { return t.all }

func (t *definitionTree) Mkdir(string, stream.Meta) error { return nil }

func (t *definitionTree) Create(name string, _ stream.Meta, _ stream.Hint) (stream.File, error) {
	return &definition{sum: sha256.New(), name: path.Clean(name), in: t}, nil
}

// definition is a file of which only the definitions are looked at.
type definition struct {
	sum  hash.Hash
	name string
	in   *definitionTree // nil outside of one
	line []byte          // not ended yet
	rows bool            // the line belongs to a statement that brings rows
}

// longLine is the length from which a line is looked at before its end: only rows are as long.
const longLine = 1 << 20

func (d *definition) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			d.line = append(d.line, rest...)
			if len(d.line) > longLine && (d.rows || isRows(d.line)) {
				d.rows = true
				d.line = append(d.line[:0], d.line[len(d.line)-1]) // the last byte tells where the statement ends
			}
			break
		}
		d.line = append(d.line, rest[:end]...)
		d.end()
		rest = rest[end+1:]
	}
	return len(b), nil
}

// end takes a whole line.
func (d *definition) end() {
	d.rows = d.rows || isRows(d.line)
	if !d.rows && len(d.line) > 0 && !of(d.line, dropped) {
		d.sum.Write(append(counters.ReplaceAll(d.line, nil), '\n'))
	}
	if d.rows && bytes.HasSuffix(d.line, []byte(";")) {
		d.rows = false
	}
	d.line = d.line[:0]
}

// dropped begin lines that say where a counter stands or how rows are brought in.
var dropped = []string{
	"LOCK TABLES ", "UNLOCK TABLES;", "set autocommit=", "commit;", "/*!40000 ALTER TABLE ", "DO SETVAL(", "SELECT SETVAL(", "DO NEXTVAL(", "--", "/*M!999999",
}

// counters are the values that the next row would get.
var counters = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

func isRows(line []byte) bool { return of(line, []string{"INSERT ", "REPLACE "}) }

func of(line []byte, beginnings []string) bool {
	return slices.ContainsFunc(beginnings, func(b string) bool { return bytes.HasPrefix(line, []byte(b)) })
}

func (d *definition) digest() (sum [sha256.Size]byte) {
	if len(d.line) > 0 {
		d.end()
	}
	return [sha256.Size]byte(d.sum.Sum(nil))
}

// Skip is never asked of a dump.
func (d *definition) Skip(int64) error { return errors.ErrUnsupported }

func (d *definition) Close() error {
	if d.in == nil || slices.Contains(beside, d.name) {
		return nil
	}
	d.in.mu.Lock()
	defer d.in.mu.Unlock()
	d.in.all[d.name] = d.digest()
	return nil
}

func (d *definition) Abort() {}
