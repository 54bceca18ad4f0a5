// Package treetest holds two plain implementations of stream.Tree, one in memory and one on disk, and the suite that
// every implementation must pass.
package treetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"holdfast/internal/stream"
)

// Entry is what a tree holds at one path. Meta.Mode carries the type bits too.
type Entry struct {
	Meta   stream.Meta
	Data   []byte // of a file
	Target string // of a symlink
}

// Same tells whether two entries have the same kind and content; it does not look at owners, permissions and times.
func (e Entry) Same(o Entry) bool {
	return e.Meta.Mode.Type() == o.Meta.Mode.Type() && e.Target == o.Target && bytes.Equal(e.Data, o.Data)
}

// Diff names every path at which two listings differ in kind or content.
func Diff(want, got map[string]Entry) []string {
	var out []string
	for path, w := range want {
		g, ok := got[path]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%q is missing", path))
		case !w.Same(g):
			out = append(out, fmt.Sprintf("%q differs: want %s, got %s", path, w, g))
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			out = append(out, fmt.Sprintf("%q is too much", path))
		}
	}
	return out
}

// String shows an entry shortly.
func (e Entry) String() string {
	data := e.Data
	if len(data) > 40 {
		data = data[:40]
	}
	return fmt.Sprintf("%v %d bytes %q %q", e.Meta.Mode, len(e.Data), data, e.Target)
}

// Discard is a tree that keeps nothing, to measure what feeds it.
type Discard struct{}

var _ stream.Tree = Discard{}

// Mkdir does nothing.
func (Discard) Mkdir(string, stream.Meta) error { return nil }

// Create returns a file that forgets what it is given.
func (Discard) Create(string, stream.Meta, stream.Hint) (stream.File, error) {
	return discardFile{}, nil
}

// Symlink does nothing.
func (Discard) Symlink(string, string, stream.Meta) error { return nil }

// Rename does nothing.
func (Discard) Rename(string, string) error { return nil }

// Remove does nothing.
func (Discard) Remove(string) error { return nil }

type discardFile struct{}

func (discardFile) Write(p []byte) (int, error) { return len(p), nil }
func (discardFile) Skip(int64) error            { return nil }
func (discardFile) Close() error                { return nil }
func (discardFile) Abort()                      {}

// ErrLimit is what a file of a Limited tree says when it would grow too long.
var ErrLimit = errors.New("the file is too long for this test")

// Limited is a tree whose files end at Max bytes, for streams that anybody could have written.
type Limited struct {
	stream.Tree
	Max int64
}

// Create starts a file in the tree behind.
func (l Limited) Create(path string, m stream.Meta, h stream.Hint) (stream.File, error) {
	f, err := l.Tree.Create(path, m, h)
	return &limitedFile{f, l.Max}, err
}

type limitedFile struct {
	stream.File
	left int64
}

func (f *limitedFile) Write(p []byte) (int, error) {
	if f.left -= int64(len(p)); f.left < 0 {
		return 0, ErrLimit
	}
	return f.File.Write(p)
}

func (f *limitedFile) Skip(n int64) error {
	if f.left -= n; f.left < 0 {
		return ErrLimit
	}
	return f.File.Skip(n)
}

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }
