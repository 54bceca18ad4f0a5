package treetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"holdfast/internal/stream"
)

// Dir is a tree in a directory of this machine. Files grow beside it, in a directory of the same name with ".open"
// at its end.
type Dir struct {
	root, staging string
	mu            sync.Mutex
	next          int
	open          map[*dirFile]struct{}
}

var _ stream.Tree = (*Dir)(nil)

// NewDir returns a tree in root, which it makes.
func NewDir(root string) (*Dir, error) {
	d := &Dir{root: root, staging: root + ".open", open: map[*dirFile]struct{}{}}
	for _, dir := range []string{d.root, d.staging} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make tree: %w", err)
		}
	}
	return d, nil
}

// Mkdir makes a directory, or changes the meta of the one that is there.
func (d *Dir) Mkdir(name string, m stream.Meta) error {
	if !valid(name) {
		return pathError("mkdir", name, fs.ErrInvalid)
	}
	p := d.at(name)
	if err := os.MkdirAll(p, 0o755); err != nil {
		return err
	}
	return apply(p, m)
}

// Symlink makes a symbolic link.
func (d *Dir) Symlink(name, target string, m stream.Meta) error {
	if !valid(name) {
		return pathError("symlink", name, fs.ErrInvalid)
	}
	if err := d.parents(name); err != nil {
		return err
	}
	p := d.at(name)
	if err := os.Symlink(target, p); err != nil {
		return err
	}
	return os.Lchown(p, int(m.UID), int(m.GID))
}

// Create starts a file.
func (d *Dir) Create(name string, m stream.Meta, _ stream.Hint) (stream.File, error) {
	if !valid(name) {
		return nil, pathError("create", name, fs.ErrInvalid)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	f, err := os.Create(filepath.Join(d.staging, fmt.Sprint(d.next)))
	if err != nil {
		return nil, err
	}
	df := &dirFile{File: f, tree: d, path: name, meta: m}
	d.open[df] = struct{}{}
	return df, nil
}

// Rename moves what stands or grows at from.
func (d *Dir) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for f := range d.open {
		if moved, ok := under(f.path, from, to); ok {
			f.path, found = moved, true
		}
	}
	if err := d.parents(to); err != nil {
		return err
	}
	err := os.Rename(d.at(from), d.at(to))
	if found && os.IsNotExist(err) {
		return nil
	}
	return err
}

// Remove takes away what stands or grows at name.
func (d *Dir) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for f := range d.open {
		if f.path == name {
			found = true
			delete(d.open, f)
		}
	}
	err := os.Remove(d.at(name))
	if found && os.IsNotExist(err) {
		return nil
	}
	return err
}

// Entries reads the whole tree.
func (d *Dir) Entries() (map[string]Entry, error) { return ReadDir(d.root) }

func (d *Dir) at(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

func (d *Dir) parents(name string) error { return os.MkdirAll(filepath.Dir(d.at(name)), 0o755) }

func apply(p string, m stream.Meta) error {
	if err := os.Chown(p, int(m.UID), int(m.GID)); err != nil {
		return err
	}
	if err := os.Chmod(p, m.Mode); err != nil {
		return err
	}
	return os.Chtimes(p, m.ModTime, m.ModTime)
}

type dirFile struct {
	*os.File
	tree *Dir
	path string // guarded by tree.mu
	meta stream.Meta
}

func (f *dirFile) Skip(n int64) error {
	at, err := f.Seek(n, 1)
	if err != nil {
		return err
	}
	return f.Truncate(at)
}

func (f *dirFile) Close() error {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if _, ok := f.tree.open[f]; !ok {
		f.File.Close()
		os.Remove(f.Name())
		return nil
	}
	delete(f.tree.open, f)
	if err := f.File.Close(); err != nil {
		return err
	}
	if err := apply(f.Name(), f.meta); err != nil {
		return err
	}
	if err := f.tree.parents(f.path); err != nil {
		return err
	}
	return os.Rename(f.Name(), f.tree.at(f.path))
}

func (f *dirFile) Abort() {
	f.tree.mu.Lock()
	delete(f.tree.open, f)
	f.tree.mu.Unlock()
	f.File.Close()
	os.Remove(f.Name())
}

// ReadDir reads every entry below root.
func ReadDir(root string) (map[string]Entry, error) {
	out := map[string]Entry{}
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(name)], err = readEntry(p)
		return err
	})
	return out, err
}

func readEntry(p string) (Entry, error) {
	info, err := os.Lstat(p)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Meta: stream.Meta{Mode: info.Mode(), ModTime: info.ModTime()}}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Meta.UID, e.Meta.GID = st.Uid, st.Gid
	}
	switch {
	case info.Mode().IsRegular():
		e.Data, err = os.ReadFile(p)
	case info.Mode().Type() == fs.ModeSymlink:
		e.Target, err = os.Readlink(p)
	}
	return e, err
}
