package vault

import (
	"errors"
	"io/fs"

	"holdfast/internal/stream"
)

// writing is a file or an image on its way into the vault. It has a place among the names once it is closed.
type writing struct {
	t    *Tree
	path string // full; "" once removed or replaced. Guarded by the session's lock
	meta stream.Meta
	body *body
	done bool
}

// track makes w known to the session, which then follows its name.
func (t *Tree) track(w *writing) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if n, err := t.s.find(w.path); err == nil && n.isDir() {
		return &fs.PathError{Op: "create", Path: w.path, Err: errors.New("is a directory")}
	}
	t.s.open[w] = true
	return nil
}

// keep ends w and puts it into the tree.
func (w *writing) keep() error {
	w.done = true
	w.body.close()
	s := w.t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, w)
	if w.path == "" {
		return nil
	}
	if err := s.place(w.path, &node{meta: w.meta, body: w.body}); err != nil {
		return &fs.PathError{Op: "close", Path: w.path, Err: err}
	}
	w.t.files.Add(1)
	w.t.bytes.Add(w.body.length())
	return nil
}

// Abort gives w up; what stood at its path before stays.
func (w *writing) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.body.fail(errAborted)
	w.body.close()
	w.t.s.mu.Lock()
	defer w.t.s.mu.Unlock()
	delete(w.t.s.open, w)
}

var errAborted = errors.New("file was given up")
