package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
	"golang.org/x/sys/unix"
)

// directory is the home of a vault on a filesystem of this host.
type directory struct {
	loc    Location
	path   string
	placer placer

	mu    sync.Mutex
	dirty map[string]bool // directories that got names since the last sync
}

// placer is what kopia's file system storage knows of where its blobs lie.
type placer interface {
	GetShardedPathAndFilePath(ctx context.Context, id blob.ID) (dir, file string, err error)
}

func (d *directory) hint() string { return "check the mount and the permissions of " + d.path }

func (d *directory) close(context.Context) error { return nil }

func (d *directory) ecc() int { return eccOnDisk }

func (d *directory) present(context.Context) error {
	info, err := os.Stat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.loc.unreachable("mount its filesystem, or make the vault with: holdfast init", errors.New("the directory is not there"))
	case err != nil:
		return d.loc.unreachable(d.hint(), err)
	case !info.IsDir():
		return d.loc.unreachable("the tier's url must name a directory", errors.New("not a directory"))
	}
	if _, err := os.Lstat(filepath.Join(d.path, creating)); err == nil {
		return d.loc.halfMade(d.path)
	}
	return nil
}

// names lists what is in the directory but what an empty filesystem has of its own.
func (d *directory) names() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		if e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d *directory) occupied(context.Context) (bool, error) {
	names, err := d.names()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, d.loc.unreachable(d.hint(), err)
	}
	return len(names) > 0, nil
}

// claim makes the directory if it is absent.
func (d *directory) claim(context.Context) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	if err := taken(d.path, "directory", names); err != nil {
		return err
	}
	if err := os.Chmod(d.path, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.path, creating), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d *directory) settle(context.Context) error { return os.Remove(filepath.Join(d.path, creating)) }

// undo removes the mark last.
func (d *directory) undo(ctx context.Context) error {
	names, err := d.names()
	for _, name := range names {
		if name != creating {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, name)))
		}
	}
	if err != nil {
		return err
	}
	return d.settle(ctx)
}

func (d *directory) open(ctx context.Context, create bool) (blob.Storage, error) {
	st, err := filesystem.New(ctx, &filesystem.Options{Path: d.path}, create)
	if err != nil {
		return nil, err
	}
	var ok bool
	if d.placer, ok = st.(placer); !ok {
		return nil, errors.New("kopia's file system storage does not tell where its blobs lie")
	}
	return st, nil
}

func (d *directory) keepFormat(_ context.Context, name string, data []byte) error {
	dir := filepath.Join(d.path, ownDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), data, 0o600)
}

func (d *directory) formatCopy(_ context.Context, name string) []byte {
	data, err := os.ReadFile(filepath.Join(d.path, ownDir, name))
	if err != nil {
		return nil
	}
	return data
}

// put notes the directories that lead to a blob as in need of a sync.
func (d *directory) put(ctx context.Context, id blob.ID) error {
	dir, _, err := d.placer.GetShardedPathAndFilePath(ctx, id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; len(dir) >= len(d.path); dir = filepath.Dir(dir) {
		d.dirty[dir] = true
	}
	return nil
}

// sync is of directories: kopia syncs its files but not the directories that name them.
func (d *directory) sync() error {
	d.mu.Lock()
	dirs := slices.Collect(maps.Keys(d.dirty))
	clear(d.dirty)
	d.mu.Unlock()
	for _, dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (d *directory) space(context.Context) (free, capacity int64, err error) {
	var fsys unix.Statfs_t
	if err := unix.Statfs(d.path, &fsys); err != nil {
		return 0, 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(fsys.Bavail) * fsys.Bsize, int64(fsys.Blocks) * fsys.Bsize, nil
}
