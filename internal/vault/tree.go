package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"

	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/stream"
)

// node is a name in a session, in memory only until Seal. Exactly one of children, body, target and adopted says what
// it is.
type node struct {
	meta     stream.Meta
	children map[string]*node   // a directory
	body     *body              // a file
	target   *string            // a symbolic link
	adopted  *snapshot.DirEntry // an entry of an earlier point
}

func newDir(m stream.Meta) *node { return &node{meta: m, children: map[string]*node{}} }

func (n *node) isDir() bool { return n.children != nil }

// Tree is the part of a session below one path. It implements stream.Tree.
type Tree struct {
	s    *Session
	base string

	files, bytes, newBytes, newContents atomic.Int64
}

var _ stream.Tree = (*Tree)(nil)

// Written says what went into a tree. NewBytes counts the contents that the vault did not hold before, as stored:
// compressed, encrypted and with their error correction.
type Written struct {
	Files, Bytes, NewBytes, NewContents int64
}

// Written returns the counts so far; they are final after Finish.
func (t *Tree) Written() Written {
	return Written{t.files.Load(), t.bytes.Load(), t.newBytes.Load(), t.newContents.Load()}
}

// Mkdir makes a directory with its parents, or gives an existing one its metadata.
func (t *Tree) Mkdir(p string, m stream.Meta) error {
	full, err := t.full("mkdir", p)
	if err != nil {
		return err
	}
	return t.s.mkdir(full, m)
}

// SetMeta makes the tree's own directory and gives it its metadata.
func (t *Tree) SetMeta(m stream.Meta) error { return t.s.mkdir(t.base, m) }

func (s *Session) mkdir(full string, m stream.Meta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.dir(full)
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: full, Err: err}
	}
	dir.meta = m
	return nil
}

// Symlink makes a symbolic link; what stood at p is replaced unless it is a directory.
func (t *Tree) Symlink(p, target string, m stream.Meta) error {
	full, err := t.full("symlink", p)
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if err := t.s.place(full, &node{meta: m, target: &target}); err != nil {
		return &fs.PathError{Op: "symlink", Path: p, Err: err}
	}
	return nil
}

// Create starts a file. It is in the tree after Close returned nil, but its pieces may still be on their way to the
// vault: Finish tells when all of them arrived.
func (t *Tree) Create(p string, m stream.Meta, h stream.Hint) (stream.File, error) {
	full, err := t.full("create", p)
	if err != nil {
		return nil, err
	}
	f := newFile(t, full, m, h)
	if err := t.track(&f.writing); err != nil {
		return nil, err
	}
	return f, nil
}

// Rename moves a file or directory, finished or open, with all below it. What stood at to is replaced.
func (t *Tree) Rename(from, to string) error {
	src, err := t.full("rename", from)
	if err != nil {
		return err
	}
	dst, err := t.full("rename", to)
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if err := t.s.rename(src, dst); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	return nil
}

// Remove takes a file or an empty directory away, finished or open.
func (t *Tree) Remove(p string) error {
	full, err := t.full("remove", p)
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if err := t.s.remove(full); err != nil {
		return &fs.PathError{Op: "remove", Path: p, Err: err}
	}
	return nil
}

// full returns p below the tree's base, and refuses what is not a clean relative path.
func (t *Tree) full(op, p string) (string, error) {
	if !fs.ValidPath(p) || p == "." || strings.ContainsRune(p, 0) {
		return "", &fs.PathError{Op: op, Path: p, Err: fs.ErrInvalid}
	}
	return path.Join(t.base, p), nil
}

// find returns the node at a full path; the caller holds the lock.
func (s *Session) find(full string) (*node, error) {
	n := s.root
	if full == "." {
		return n, nil
	}
	for name := range strings.SplitSeq(full, "/") {
		child, ok := n.children[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = child
	}
	return n, nil
}

// dir returns the directory at a full path and makes what is missing.
func (s *Session) dir(full string) (*node, error) { return s.root.dir(full) }

func (n *node) dir(full string) (*node, error) {
	missing := stream.Meta{Mode: 0o700, ModTime: n.meta.ModTime}
	if full == "." {
		return n, nil
	}
	for name := range strings.SplitSeq(full, "/") {
		child, ok := n.children[name]
		if !ok {
			child = newDir(missing)
			n.children[name] = child
		}
		if !child.isDir() {
			return nil, fmt.Errorf("%s is not a directory", name)
		}
		n = child
	}
	return n, nil
}

// place puts n at a full path; only an empty directory may give way to it, and no file to a directory's inside.
func (s *Session) place(full string, n *node) error { return s.root.place(full, n) }

func (root *node) place(full string, n *node) error {
	parent, err := root.dir(path.Dir(full))
	if err != nil {
		return err
	}
	if old := parent.children[path.Base(full)]; old != nil && old.isDir() {
		return errors.New("is a directory")
	}
	parent.children[path.Base(full)] = n
	return nil
}

func (s *Session) rename(from, to string) error {
	if from == to {
		return nil
	}
	if within(to, from) {
		return errors.New("cannot move a directory into itself")
	}
	n, err := s.find(from)
	opened := s.opened(from)
	if err != nil && len(opened) == 0 {
		return err
	}
	parent, err := s.dir(path.Dir(to))
	if err != nil {
		return err
	}
	s.detach(to)
	delete(parent.children, path.Base(to))
	if n != nil {
		s.unlink(from)
		parent.children[path.Base(to)] = n
	}
	for _, w := range opened {
		w.path = to + strings.TrimPrefix(w.path, from)
	}
	return nil
}

func (s *Session) remove(full string) error {
	n, err := s.find(full)
	if n != nil && n.isDir() && len(n.children)+len(s.opened(full)) > 0 {
		return errors.New("directory is not empty")
	}
	if detached := s.detach(full); err != nil && !detached {
		return err
	}
	s.unlink(full)
	return nil
}

// unlink forgets the name, if it is there.
func (s *Session) unlink(full string) {
	if parent, err := s.find(path.Dir(full)); err == nil {
		delete(parent.children, path.Base(full))
	}
}

// opened returns the open files and images at or below a full path.
func (s *Session) opened(full string) []*writing {
	var found []*writing
	for w := range s.open {
		if w.path == full || within(w.path, full) {
			found = append(found, w)
		}
	}
	return found
}

// detach makes open files at or below a full path nameless, so that closing them leaves nothing.
func (s *Session) detach(full string) bool {
	found := s.opened(full)
	for _, w := range found {
		w.path = ""
	}
	return len(found) > 0
}

// within reports whether p lies below dir.
func within(p, dir string) bool { return p != "" && (dir == "." || strings.HasPrefix(p, dir+"/")) }
