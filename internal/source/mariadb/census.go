package mariadb

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/stream"
)

// census is a tree that remembers which files it holds, to find tables whose data did not come. mariadb-backup loses
// the data of Aria and MyISAM tables that are made, renamed or altered while it runs, sends their definition all the
// same, and ends well. (InnoDB tables are followed through the redo log and are not lost.)
type census struct {
	stream.Tree
	mu    sync.Mutex
	files map[string]*head // by path
}

// head is the beginning of a file that tells which others belong to it; of any other file it is empty.
type head struct{ data []byte }

func newCensus(t stream.Tree) *census { return &census{Tree: t, files: map[string]*head{}} }

// headSizes are how much is kept of a table's definition and of the list of its partitions, by the ends of their names.
// The server allows 8192 partitions with names of at most 192 bytes.
var headSizes = map[string]int{".frm": 64, ".par": 2 << 20}

// bereft lists, as DATABASE/TABLE, the tables whose definition came without all of their data.
func (c *census) bereft() (tables []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		table, ok := strings.CutSuffix(name, ".frm")
		if !ok || strings.Contains(table, "/#sql") {
			continue
		}
		if !c.whole(table, engineOf(c.files[name].data)) {
			tables = append(tables, table)
		}
	}
	return tables
}

// whole reports whether all files that a table of e keeps its data in are there.
func (c *census) whole(table string, e engine) bool {
	parts := []string{table}
	if e.partitioned && len(e.data) > 0 {
		list := c.files[table+".par"]
		if list == nil {
			return false
		}
		names, ok := partitionsOf(list.data)
		if !ok {
			return false
		}
		parts = parts[:0]
		for _, name := range names {
			parts = append(parts, table+"#P#"+name)
		}
	}
	for _, part := range parts {
		for _, end := range e.data {
			if c.files[part+end] == nil {
				return false
			}
		}
	}
	return true
}

// Create counts the file, and keeps its head if others belong to it.
func (c *census) Create(name string, m stream.Meta, h stream.Hint) (stream.File, error) {
	f, err := c.Tree.Create(name, m, h)
	if err != nil {
		return nil, err
	}
	begin := &head{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[name] = begin
	if size := headSizes[path.Ext(name)]; size > 0 {
		return &headed{File: f, head: begin, size: size}, nil
	}
	return f, nil
}

// Rename moves what is counted under from, a file or a directory.
func (c *census) Rename(from, to string) error {
	if err := c.Tree.Rename(from, to); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := map[string]*head{}
	for name, begin := range c.files {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			delete(c.files, name)
			moved[to+rest] = begin
		}
	}
	maps.Copy(c.files, moved)
	return nil
}

// Remove forgets the file.
func (c *census) Remove(path string) error {
	if err := c.Tree.Remove(path); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, path)
	return nil
}

// headed is a file whose head is kept while it grows.
type headed struct {
	stream.File
	head *head
	size int
}

func (f *headed) Write(p []byte) (int, error) {
	if lack := f.size - len(f.head.data); lack > 0 {
		f.head.data = append(f.head.data, p[:min(lack, len(p))]...)
	}
	return f.File.Write(p)
}
