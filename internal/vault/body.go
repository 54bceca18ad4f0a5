package vault

import (
	"sync"

	"github.com/kopia/kopia/repo/object"
)

// body is what a file becomes in the vault: its pieces in order, and once all of them are written, one object.
type body struct {
	tree *Tree

	mu      sync.Mutex
	entries []object.IndirectObjectEntry // Object is set as pieces arrive
	size    int64
	pending int // pieces on their way, plus one until closed
	err     error
	id      object.ID     // valid once done is closed and err is nil
	done    chan struct{} // closed when no piece is pending and the file is closed
}

func newBody(t *Tree) *body {
	return &body{tree: t, pending: 1, done: make(chan struct{})}
}

func (b *body) length() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// add appends a piece that is in the vault already.
func (b *body) add(length int64, id object.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, object.IndirectObjectEntry{Start: b.size, Length: length, Object: id})
	b.size += length
}

// expect appends a piece whose identity is not known yet and returns its place.
func (b *body) expect(length int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, object.IndirectObjectEntry{Start: b.size, Length: length})
	b.size += length
	b.pending++
	return len(b.entries) - 1
}

// replace expects another piece at place i.
func (b *body) replace(i int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending++
	return i
}

// set puts a piece that is in the vault already at place i.
func (b *body) set(i int, id object.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[i].Object = id
}

// shorten takes bytes off the last piece, whose content is yet to come.
func (b *body) shorten(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[len(b.entries)-1].Length -= n
	b.size -= n
}

// arrive says what became of the piece at place i.
func (b *body) arrive(i int, id object.ID, err error) {
	b.mu.Lock()
	if err == nil {
		b.entries[i].Object = id
	} else if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	b.release()
}

func (b *body) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// close says that no more pieces come.
func (b *body) close() { b.release() }

// release ends one reason to wait; the last one composes the object.
func (b *body) release() {
	b.mu.Lock()
	b.pending--
	last, failed := b.pending == 0, b.err != nil
	b.mu.Unlock()
	if !last {
		return
	}
	if !failed {
		b.id, b.err = b.tree.s.compose(b.tree, b.entries)
	}
	b.entries = nil
	close(b.done)
}

// wait returns the body's object once all of it is written.
func (b *body) wait() (object.ID, error) {
	<-b.done
	return b.id, b.err
}
