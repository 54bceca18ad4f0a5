package treetest

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"

	"holdfast/internal/stream"
)

// Memory is a tree in memory.
type Memory struct {
	mu      sync.Mutex
	entries map[string]Entry
	open    map[*memoryFile]struct{}
}

var _ stream.Tree = (*Memory)(nil)

// NewMemory returns an empty tree.
func NewMemory() *Memory {
	return &Memory{entries: map[string]Entry{}, open: map[*memoryFile]struct{}{}}
}

// Entries returns everything that is part of the tree now, by path.
func (m *Memory) Entries() map[string]Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.entries)
}

// Open returns how many files were created and neither closed nor given up.
func (m *Memory) Open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// Mkdir makes a directory, or changes the meta of the one that is there.
func (m *Memory) Mkdir(name string, meta stream.Meta) error {
	meta.Mode |= fs.ModeDir
	return m.put("mkdir", name, Entry{Meta: meta})
}

// Symlink makes a symbolic link.
func (m *Memory) Symlink(name, target string, meta stream.Meta) error {
	meta.Mode |= fs.ModeSymlink
	return m.put("symlink", name, Entry{Meta: meta, Target: target})
}

// Create starts a file.
func (m *Memory) Create(name string, meta stream.Meta, _ stream.Hint) (stream.File, error) {
	if !valid(name) {
		return nil, pathError("create", name, fs.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &memoryFile{tree: m, path: name, entry: Entry{Meta: meta}}
	m.open[f] = struct{}{}
	return f, nil
}

// Rename moves what stands or grows at from.
func (m *Memory) Rename(from, to string) error {
	if !valid(from) || !valid(to) {
		return pathError("rename", from, fs.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.has(from) {
		return pathError("rename", from, fs.ErrNotExist)
	}
	m.parents(to)
	if _, finished := m.entries[from]; finished && from != to {
		m.drop(to)
	}
	for name, e := range maps.Clone(m.entries) {
		if moved, ok := under(name, from, to); ok {
			delete(m.entries, name)
			m.entries[moved] = e
		}
	}
	for f := range m.open {
		if moved, ok := under(f.path, from, to); ok {
			f.path = moved
		}
	}
	return nil
}

// Remove takes away what stands or grows at name.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.has(name) {
		return pathError("remove", name, fs.ErrNotExist)
	}
	for other := range m.entries {
		if strings.HasPrefix(other, name+"/") {
			return pathError("remove", name, errors.New("directory not empty"))
		}
	}
	delete(m.entries, name)
	for f := range m.open {
		if f.path == name {
			delete(m.open, f)
		}
	}
	return nil
}

func (m *Memory) put(op, name string, e Entry) error {
	if !valid(name) {
		return pathError(op, name, fs.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parents(name)
	m.entries[name] = e
	return nil
}

func (m *Memory) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := m.entries[dir]; !ok {
			m.entries[dir] = Entry{Meta: stream.Meta{Mode: fs.ModeDir | 0o755}}
		}
	}
}

func (m *Memory) has(name string) bool {
	if _, ok := m.entries[name]; ok {
		return true
	}
	for f := range m.open {
		if f.path == name {
			return true
		}
	}
	return false
}

func (m *Memory) drop(name string) {
	for other := range m.entries {
		if _, ok := under(other, name, name); ok {
			delete(m.entries, other)
		}
	}
}

// under says what name is called once from is called to, and whether it lies at or below from at all.
func under(name, from, to string) (string, bool) {
	rest, ok := strings.CutPrefix(name, from)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return to + rest, true
}

func valid(name string) bool { return name != "." && fs.ValidPath(name) }

type memoryFile struct {
	tree  *Memory
	path  string // guarded by tree.mu
	entry Entry
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.entry.Data = append(f.entry.Data, p...)
	return len(p), nil
}

func (f *memoryFile) Skip(n int64) error {
	f.entry.Data = append(f.entry.Data, make([]byte, n)...)
	return nil
}

func (f *memoryFile) Close() error {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if _, ok := f.tree.open[f]; !ok {
		return nil
	}
	delete(f.tree.open, f)
	f.tree.parents(f.path)
	f.tree.entries[f.path] = f.entry
	return nil
}

func (f *memoryFile) Abort() {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	delete(f.tree.open, f)
}
