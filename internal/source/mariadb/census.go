package mariadb

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/stream"
)

// census is a tree that remembers which files it holds, to find tables whose data did not come. mariadb-backup loses
// the data of Aria and MyISAM tables that are made or renamed while it runs, sends their definition all the same, and
// ends well. (InnoDB tables are followed through the redo log and are not lost.)
type census struct {
	stream.Tree
	mu    sync.Mutex
	files map[string]byte // by path; of a definition the code of its engine, else 0
}

func newCensus(t stream.Tree) *census { return &census{Tree: t, files: map[string]byte{}} }

// dataOf are the files that belong to a definition, by the code of its engine.
var dataOf = map[byte][]string{
	9:  {".MYI", ".MYD"},
	42: {".MAI", ".MAD"},
}

// bereft lists, as DATABASE/TABLE, the tables whose definition came without all of their data.
func (c *census) bereft() (tables []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		table, ok := strings.CutSuffix(name, ".frm")
		if !ok || strings.Contains(table, "/#sql") {
			continue
		}
		for _, end := range dataOf[c.files[name]] {
			if _, there := c.files[table+end]; !there {
				tables = append(tables, table)
				break
			}
		}
	}
	return tables
}

// Create counts the file once it is whole.
func (c *census) Create(path string, m stream.Meta, h stream.Hint) (stream.File, error) {
	f, err := c.Tree.Create(path, m, h)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[path] = 0
	if !strings.HasSuffix(path, ".frm") {
		return f, nil
	}
	return &definition{File: f, census: c, path: path}, nil
}

// Rename moves what is counted under from, a file or a directory.
func (c *census) Rename(from, to string) error {
	if err := c.Tree.Rename(from, to); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := map[string]byte{}
	for name, engine := range c.files {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			delete(c.files, name)
			moved[to+rest] = engine
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

// definition is a table's .frm file as it grows. It begins with the bytes FE 01, a version, and the engine's code; that
// of a view is text.
type definition struct {
	stream.File
	census *census
	path   string
	head   []byte
}

func (d *definition) Write(p []byte) (int, error) {
	if lack := 4 - len(d.head); lack > 0 {
		d.head = append(d.head, p[:min(lack, len(p))]...)
	}
	if len(d.head) == 4 && d.head[0] == 0xfe && d.head[1] == 1 {
		d.census.mu.Lock()
		d.census.files[d.path] = d.head[3]
		d.census.mu.Unlock()
		d.head[0] = 0 // told once
	}
	return d.File.Write(p)
}
