package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// FS is one source of a sealed point as a read-only file system. Its files are *File; the Sys of their fs.FileInfo is a
// stream.Meta. It keeps the context of the call that made it.
type FS struct {
	ctx  context.Context
	v    *Vault
	root *snapshot.DirEntry

	mu   sync.Mutex
	dirs map[object.ID][]*snapshot.DirEntry
}

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// FS returns the tree that source holds in a sealed point. A point or source that is not there is a problem of kind
// NotFound.
func (v *Vault) FS(ctx context.Context, pointID, source string) (*FS, error) {
	if _, err := v.sealed(ctx, pointID); err != nil {
		return nil, problem.Wrap(err, "read point", pointID)
	}
	snaps, err := v.snapshots(ctx, map[string]string{tagPoint: pointID, tagSource: source})
	if err != nil {
		return nil, problem.Wrap(err, "read point", pointID)
	}
	if len(snaps) == 0 {
		return nil, problem.New(problem.NotFound, "see what it holds with: holdfast show "+pointID, "point %s has no %s", pointID, source)
	}
	return newFS(ctx, v, snaps[len(snaps)-1]), nil
}

func newFS(ctx context.Context, v *Vault, m *snapshot.Manifest) *FS {
	return &FS{ctx: ctx, v: v, root: m.RootEntry, dirs: map[object.ID][]*snapshot.DirEntry{}}
}

func readDir(ctx context.Context, r repo.Repository, id object.ID) ([]*snapshot.DirEntry, error) {
	var m snapshot.DirManifest
	err := again(ctx, func(ctx context.Context) error {
		rd, err := r.OpenObject(ctx, id)
		if err != nil {
			return err
		}
		defer rd.Close()
		m = snapshot.DirManifest{}
		return json.NewDecoder(rd).Decode(&m)
	})
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	return m.Entries, nil
}

func (f *FS) list(e *snapshot.DirEntry) ([]*snapshot.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if entries, ok := f.dirs[e.ObjectID]; ok {
		return entries, nil
	}
	entries, err := readDir(f.ctx, f.v.repo, e.ObjectID)
	if err != nil {
		return nil, f.v.unread(f.ctx, e.ObjectID, err)
	}
	f.dirs[e.ObjectID] = entries
	return entries, nil
}

// lookup finds a path without following symbolic links.
func (f *FS) lookup(name string) (*snapshot.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	e := f.root
	if name == "." {
		return e, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if e.Type != snapshot.EntryTypeDirectory {
			return nil, fs.ErrNotExist
		}
		entries, err := f.list(e)
		if err != nil {
			return nil, err
		}
		if e = find(entries, part); e == nil {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
	}
	return e, nil
}

func find(entries []*snapshot.DirEntry, name string) *snapshot.DirEntry {
	for _, e := range entries {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// Open opens a file, which is a *File, or a directory. Symbolic links are not followed: use ReadLink.
func (f *FS) Open(name string) (fs.File, error) {
	e, err := f.lookup(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	switch e.Type {
	case snapshot.EntryTypeDirectory:
		return &dirFile{f: f, e: e, name: name}, nil
	case snapshot.EntryTypeFile:
		file, err := f.openFile(e)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return file, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is a symbolic link")}
}

// Stat describes a path without following symbolic links.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.Lstat(name) }

// Lstat describes a path.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	e, err := f.lookup(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{e, path.Base(name)}, nil
}

// ReadDir lists a directory by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := f.lookup(name)
	if err == nil && e.Type != snapshot.EntryTypeDirectory {
		err = errors.New("not a directory")
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	entries, err := f.list(e)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return dirEntries(entries), nil
}

// ReadFile returns the whole of a small file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// ReadLink returns the target of a symbolic link.
func (f *FS) ReadLink(name string) (string, error) {
	e, err := f.lookup(name)
	if err == nil && e.Type != snapshot.EntryTypeSymlink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	target, err := f.v.readObject(f.ctx, e.ObjectID)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target), nil
}

// Entry returns the file or directory at a path by identity, for Session.Adopt.
func (f *FS) Entry(name string) (Entry, error) {
	e, err := f.lookup(name)
	if err != nil {
		return Entry{}, &fs.PathError{Op: "find", Path: name, Err: err}
	}
	return Entry{e}, nil
}

// info is an entry seen as fs.FileInfo and fs.DirEntry.
type info struct {
	e    *snapshot.DirEntry
	name string
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.e.FileSize }
func (i info) ModTime() time.Time         { return i.e.ModTime.ToTime() }
func (i info) IsDir() bool                { return i.e.Type == snapshot.EntryTypeDirectory }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(i.e.Permissions)
	switch i.e.Type {
	case snapshot.EntryTypeDirectory:
		mode |= fs.ModeDir
	case snapshot.EntryTypeSymlink:
		mode |= fs.ModeSymlink
	}
	return mode
}

// Sys returns a stream.Meta.
func (i info) Sys() any {
	return stream.Meta{Mode: fs.FileMode(i.e.Permissions), UID: i.e.UserID, GID: i.e.GroupID, ModTime: i.ModTime()}
}

func dirEntries(entries []*snapshot.DirEntry) []fs.DirEntry {
	out := make([]fs.DirEntry, len(entries))
	for i, e := range entries {
		out[i] = info{e, e.Name}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// dirFile is an open directory.
type dirFile struct {
	f    *FS
	e    *snapshot.DirEntry
	name string
	rest []fs.DirEntry
	read bool
}

func (d *dirFile) Stat() (fs.FileInfo, error) { return info{d.e, path.Base(d.name)}, nil }
func (d *dirFile) Close() error               { return nil }

func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

// ReadDir returns the next n entries, or the rest of them when n is not positive.
func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		entries, err := d.f.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.rest, d.read = entries, true
	}
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out, nil
}
