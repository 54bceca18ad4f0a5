package mbstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"holdfast/internal/stream"
)

// file is one that has begun and not yet ended.
type file struct {
	stream.File
	path     string
	written  int64
	position int64 // where the next payload goes; past written after a seek
	keep     bool
	kept     []byte
}

func (f *file) write(p []byte) error {
	if _, err := f.Write(p); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	f.written += int64(len(p))
	if f.keep = f.keep && len(f.kept)+len(p) <= KeepLimit; f.keep {
		f.kept = append(f.kept, p...)
	} else {
		f.kept = nil
	}
	return nil
}

// fill makes the hole that a seek left, once n more bytes come. A seek that no byte follows leaves no trace: mbstream
// itself moves only the position of the file it writes.
func (f *file) fill(n uint64) error {
	hole := f.position - f.written
	if hole == 0 || n == 0 {
		return nil
	}
	if err := f.Skip(hole); err != nil {
		return fmt.Errorf("skip in file: %w", err)
	}
	f.written, f.keep, f.kept = f.position, false, nil
	return nil
}

// file returns the open file of the chunk at hand, or begins it. A file that has ended begins again only by a rewrite,
// which replaces its whole content.
func (x *extractor) file(rewrite bool) (*file, error) {
	if f, ok := x.open[string(x.path)]; ok {
		return f, nil
	}
	name := string(x.path)
	if _, ended := x.ended[name]; ended {
		if !rewrite {
			return nil, errors.New("the file has already ended")
		}
		x.sum.Rewrites++
	}
	if err := x.parents(name); err != nil {
		return nil, err
	}
	created, err := x.dst.Create(name, x.meta(0o660), hint(name))
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	f := &file{File: created, path: name, keep: x.opts.Keep(name)}
	x.open[name] = f
	return f, nil
}

// parents makes the directories above name with the owner of everything else.
func (x *extractor) parents(name string) error {
	dir := path.Dir(name)
	if _, made := x.dirs[dir]; made || dir == "." {
		return nil
	}
	if err := x.parents(dir); err != nil {
		return err
	}
	if err := x.dst.Mkdir(dir, x.meta(0o750)); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	x.dirs[dir] = struct{}{}
	return nil
}

func (x *extractor) meta(mode fs.FileMode) stream.Meta {
	return stream.Meta{Mode: mode, UID: x.opts.UID, GID: x.opts.GID, ModTime: x.opts.ModTime}
}

// end finishes a file; one that never had a payload is empty.
func (x *extractor) end(rewrite bool) error {
	f, err := x.file(rewrite)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	delete(x.open, f.path)
	delete(x.sum.Kept, f.path)
	x.ended[f.path] = struct{}{}
	if f.keep {
		x.sum.Kept[f.path] = f.kept
	}
	x.sum.Files++
	x.sum.LastFile = f.path
	return nil
}

// seek moves a file's position. Going back would change bytes that are already on their way, and no known version of
// mariadb-backup does it.
func (x *extractor) seek() error {
	b := x.buf[:8]
	if err := x.full(b); err != nil {
		return err
	}
	to := binary.LittleEndian.Uint64(b)
	f, err := x.file(false)
	if err != nil {
		return err
	}
	if to > 1<<62 || int64(to) < f.written {
		return fmt.Errorf("seek to %d, but the file is at %d", to, f.written)
	}
	f.position = int64(to)
	return nil
}

// rename moves a file, which DDL did while it was copied, or does nothing when the file is not there.
func (x *extractor) rename() error {
	b := x.buf[:4]
	if err := x.full(b); err != nil {
		return err
	}
	target, err := x.readPath(x.paths[1][:], binary.LittleEndian.Uint32(b))
	if err != nil {
		return err
	}
	from, to := string(x.path), string(target)
	f, open := x.open[from]
	if _, ended := x.ended[from]; !ended && !open {
		x.sum.Ignored++
		return nil
	}
	if _, busy := x.open[to]; busy && from != to {
		return fmt.Errorf("rename to %q, which has not ended", to)
	}
	if err := x.parents(to); err != nil {
		return err
	}
	if err := x.dst.Rename(from, to); err != nil {
		return fmt.Errorf("rename file: %w", err)
	}
	if open {
		delete(x.open, from)
		f.path, x.open[to] = to, f
	}
	x.moveEnded(from, to)
	x.sum.Renames++
	return nil
}

func (x *extractor) moveEnded(from, to string) {
	if _, ended := x.ended[from]; !ended || from == to {
		return
	}
	delete(x.ended, from)
	x.ended[to] = struct{}{}
	kept, ok := x.sum.Kept[from]
	delete(x.sum.Kept, from)
	delete(x.sum.Kept, to)
	if ok {
		x.sum.Kept[to] = kept
	}
}

// remove takes a file away, or does nothing when the file is not there.
func (x *extractor) remove() error {
	name := string(x.path)
	f, open := x.open[name]
	_, ended := x.ended[name]
	_, dir := x.dirs[name]
	switch {
	case dir && !open && !ended:
		return x.removeDatabase(name)
	case !ended && !open:
		x.sum.Ignored++
		return nil
	}
	if open {
		f.Abort()
		delete(x.open, name)
	}
	if ended {
		if err := x.dst.Remove(name); err != nil {
			return fmt.Errorf("remove file: %w", err)
		}
	}
	delete(x.ended, name)
	delete(x.sum.Kept, name)
	x.sum.Removes++
	return nil
}

// removeDatabase takes away a directory whose database was dropped while the backup ran.
//
// If the database was created again before the backup's consistent point, the stream still ends with the removal, and
// mbstream -x then deletes the new tables too. They are kept here: db.opt is copied under the lock that stops all DDL,
// so where it has come, the database is part of the consistent point. What is left of the dropped tables is removed
// one by one by the stream, or by --prepare.
func (x *extractor) removeDatabase(dir string) error {
	if _, exists := x.ended[dir+"/db.opt"]; exists {
		x.sum.Spared = append(x.sum.Spared, dir)
		return nil
	}
	below := dir + "/"
	for name, f := range x.open {
		if strings.HasPrefix(name, below) {
			f.Abort()
			delete(x.open, name)
		}
	}
	for name := range x.ended {
		if !strings.HasPrefix(name, below) {
			continue
		}
		if err := x.dst.Remove(name); err != nil {
			return fmt.Errorf("remove file: %w", err)
		}
		delete(x.ended, name)
	}
	x.sum.Removes++
	return x.removeDirs(dir)
}

// removeDirs takes away dir and the directories in it, the deepest first.
func (x *extractor) removeDirs(dir string) error {
	var dirs []string
	for name := range x.dirs {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			dirs = append(dirs, name)
		}
	}
	slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range dirs {
		if err := x.dst.Remove(name); err != nil {
			return fmt.Errorf("remove directory: %w", err)
		}
		delete(x.dirs, name)
	}
	return nil
}
