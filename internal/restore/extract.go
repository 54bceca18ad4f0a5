package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/internal/stream"
	"holdfast/internal/stream/tree"
)

// Incomplete is the name of the file that stands in a target directory until a restore into it has ended well.
const Incomplete = "HOLDFAST-RESTORE-INCOMPLETE"

// extractor writes a tree of a vault into a local directory.
type extractor struct {
	from     fs.FS
	dir      string
	owners   bool        // set owners too; only root can
	progress func(int64) // gets the bytes written, from several goroutines

	mu   sync.Mutex
	dirs []dirMeta // their times and modes are set last, deepest first
}

type dirMeta struct {
	path string
	meta stream.Meta
}

// filesAtOnce is how many files are written side by side; each is read ahead on its own.
const filesAtOnce = 4

// extract writes the tree at root of from into dir, which it makes. Paths keep their form below root; only, when not
// empty, limits it to those files and directories. What the tree could not hold comes back from its own metadata file.
// It returns when everything is on stable storage.
func extract(ctx context.Context, from fs.FS, root, dir string, only []string, progress func(int64)) error {
	x := &extractor{from: from, dir: dir, owners: os.Geteuid() == 0, progress: progress}
	extra, err := readExtra(from, root)
	if err != nil {
		return err
	}
	only, extra = narrow(only, extra)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(filesAtOnce)
	err = x.walk(ctx, g, root, ".", only)
	// The walk is cancelled by the first file that fails, which is the one to tell of.
	if werr := g.Wait(); werr != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = werr
	}
	if err != nil {
		return err
	}
	if err := x.finishDirs(); err != nil {
		return err
	}
	if err := extra.Apply(dir); err != nil {
		return err
	}
	return errors.Join(x.touchDirs(), syncDir(dir))
}

// walk makes directories and links at once and leaves the files to g.
func (x *extractor) walk(ctx context.Context, g *errgroup.Group, root, rel string, only []string) error {
	entries, err := fs.ReadDir(x.from, path.Join(root, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(rel, e.Name())
		if !wanted(name, only) || name == tree.MetaName {
			continue
		}
		if err := x.entry(ctx, g, root, name, e, only); err != nil {
			return fmt.Errorf("restore %s: %w", name, err)
		}
	}
	return nil
}

// wanted reports whether name is asked for, lies in what is asked for, or leads to it.
func wanted(name string, only []string) bool {
	if len(only) == 0 {
		return true
	}
	return slices.ContainsFunc(only, func(o string) bool {
		return name == o || strings.HasPrefix(name, o+"/") || strings.HasPrefix(o, name+"/")
	})
}

func (x *extractor) entry(ctx context.Context, g *errgroup.Group, root, name string, e fs.DirEntry, only []string) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	meta, _ := info.Sys().(stream.Meta)
	target := filepath.Join(x.dir, filepath.FromSlash(name))
	switch {
	case e.IsDir():
		if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		x.mu.Lock()
		x.dirs = append(x.dirs, dirMeta{target, meta})
		x.mu.Unlock()
		return x.walk(ctx, g, root, name, only)
	case e.Type()&fs.ModeSymlink != 0:
		return x.symlink(path.Join(root, name), target, meta)
	}
	g.Go(func() error {
		if err := x.file(ctx, path.Join(root, name), target, meta); err != nil {
			return fmt.Errorf("restore %s: %w", name, err)
		}
		return nil
	})
	return nil
}

func (x *extractor) symlink(from, target string, meta stream.Meta) error {
	to, err := fs.ReadLink(x.from, from)
	if err != nil {
		return err
	}
	if err := os.Symlink(to, target); err != nil {
		return err
	}
	if !x.owners {
		return nil
	}
	return os.Lchown(target, int(meta.UID), int(meta.GID))
}

// file writes one file. It refuses to replace one, as nothing is ever overwritten in place.
func (x *extractor) file(ctx context.Context, from, target string, meta stream.Meta) error {
	src, err := x.from.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	w := &sparseWriter{ctx: ctx, file: dst, progress: x.progress}
	if _, err := io.Copy(w, src); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	if err := x.apply(dst.Name(), meta); err != nil {
		return err
	}
	return dst.Close()
}

// apply sets owner, mode and time, in the order in which one does not undo another.
func (x *extractor) apply(target string, meta stream.Meta) error {
	if x.owners {
		if err := os.Lchown(target, int(meta.UID), int(meta.GID)); err != nil {
			return err
		}
	}
	if err := os.Chmod(target, meta.Mode); err != nil {
		return err
	}
	return os.Chtimes(target, meta.ModTime, meta.ModTime)
}

func (x *extractor) finishDirs() error {
	for _, d := range slices.Backward(x.dirs) {
		if err := x.apply(d.path, d.meta); err != nil {
			return err
		}
	}
	return nil
}

// touchDirs sets the times again that links and renames in them have changed. A directory that has got back a name that
// the vault cannot hold is not found under the one it had there, and keeps the time of its renaming.
func (x *extractor) touchDirs() error {
	for _, d := range slices.Backward(x.dirs) {
		if err := os.Chtimes(d.path, d.meta.ModTime, d.meta.ModTime); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sparseWriter leaves holes where whole blocks are zero.
type sparseWriter struct {
	ctx      context.Context
	file     *os.File
	progress func(int64)
	end      int64
}

const holeBlock = 64 << 10

var zeros [holeBlock]byte

func (w *sparseWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	for rest := p; len(rest) > 0; {
		block := rest[:min(holeBlock, len(rest))]
		rest = rest[len(block):]
		if string(block) != string(zeros[:len(block)]) {
			if _, err := w.file.WriteAt(block, w.end); err != nil {
				return 0, err
			}
		}
		w.end += int64(len(block))
	}
	if w.progress != nil {
		w.progress(int64(len(p)))
	}
	return len(p), nil
}

func (w *sparseWriter) finish() error { return w.file.Truncate(w.end) }

// syncDir brings everything on the file system of dir to stable storage.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// FreeBytes is the room left for root on the file system that holds dir or its nearest existing parent.
func FreeBytes(dir string) (int64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return int64(st.Bavail) * st.Bsize, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
}

// emptyTarget reports a directory that a restore may not write into: one that exists and holds something.
func emptyTarget(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	return nil
}
