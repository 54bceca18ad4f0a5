package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/semaphore"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// Session writes what one source captured for one point. It keeps the context of Begin, because the files of a tree
// are written without one. It ends with Seal or Abandon.
type Session struct {
	v             *Vault
	ctx           context.Context
	cancel        context.CancelFunc
	w             repo.DirectRepositoryWriter
	rec           *recorder
	point, source string
	began         time.Time

	mu    sync.Mutex // guards the names
	root  *node
	open  map[*writing]bool
	trees map[string]*Tree

	pieces   chan piece
	workers  sync.WaitGroup
	budget   *semaphore.Weighted
	buffers  buffers
	zeroMu   sync.Mutex
	zeroes   map[int]object.ID
	fresh    *sampled   // what the vault did not hold before
	packs    *packs     // of earlier sessions, as the store has them
	doubted  contentSet // as the vault remembers them
	mended   contentSet // that were lost, or in doubt, and are no more
	mending  sync.Mutex // of what is lost
	newBytes atomic.Int64
	err      atomic.Pointer[error]
	ended    bool
}

// Begin starts a session. Cancelling ctx makes every write fail. The caller holds the source's Lock.
func (v *Vault) Begin(ctx context.Context, pointID, source string) (*Session, error) {
	if pointID == "" || source == "" || source == pointPath || strings.Contains(source, "/") {
		return nil, problem.New(problem.Usage, "", "begin session: point %q, source %q", pointID, source)
	}
	doubted, err := v.doubted(ctx)
	if err != nil {
		return nil, problem.Wrap(err, "begin session of", source)
	}
	rec := newRecorder()
	ctx, cancel := context.WithCancel(context.WithValue(ctx, recorderKey{}, rec))
	_, w, err := v.repo.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: source})
	if err != nil {
		cancel()
		return nil, problem.Wrap(v.failure(err), "begin session of", source)
	}
	s := &Session{
		v: v, ctx: ctx, cancel: cancel, w: w, rec: rec, point: pointID, source: source, began: now(),
		open: map[*writing]bool{}, trees: map[string]*Tree{},
		pieces: make(chan piece), budget: semaphore.NewWeighted(inFlight),
		buffers: newBuffers(), zeroes: map[int]object.ID{}, fresh: newSampled(), doubted: doubted, mended: newContentSet(),
		packs: &packs{store: v.store, known: map[blob.ID]int64{}},
	}
	s.root = newDir(stream.Meta{Mode: 0o700, ModTime: s.began})
	s.startWriters()
	return s, nil
}

// Tree returns the tree at a path such as "mariadb/shard0/physical"; the same one for the same path.
func (s *Session) Tree(p string) *Tree {
	p = path.Clean(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.trees[p]
	if !ok {
		t = &Tree{s: s, base: p}
		s.trees[p] = t
	}
	return t
}

// Finish waits until every file of the tree at p is in the vault and returns what was written, or why not. A component
// is good only after it. Files still open are an error.
func (s *Session) Finish(p string) (Written, error) {
	t := s.Tree(p)
	s.mu.Lock()
	open := s.opened(t.base)
	var bodies []*body
	if n, err := s.find(t.base); err == nil {
		bodies = collect(n, nil)
	}
	s.mu.Unlock()
	if len(open) > 0 {
		return t.Written(), fmt.Errorf("finish %s: %s is still open", p, open[0].path)
	}
	for _, b := range bodies {
		if _, err := b.wait(); err != nil {
			return t.Written(), fmt.Errorf("write %s: %w", p, err)
		}
	}
	return t.Written(), nil
}

// collect appends the bodies of n and all below it.
func collect(n *node, bodies []*body) []*body {
	if n.body != nil {
		bodies = append(bodies, n.body)
	}
	for _, child := range n.children {
		bodies = collect(child, bodies)
	}
	return bodies
}

// Drop forgets everything at and below p, finished or open, as for a component that failed.
func (s *Session) Drop(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := path.Clean(p)
	s.detach(full)
	s.unlink(full)
}

// WriteFile writes a small file.
func (s *Session) WriteFile(p string, m stream.Meta, data []byte) error {
	f, err := s.Tree(path.Dir(path.Clean(p))).Create(path.Base(p), m, stream.Plain)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Abort()
		return err
	}
	return f.Close()
}

// ReadFrom copies r into a file of the tree; a convenience for images and the like.
func (s *Session) ReadFrom(p string, m stream.Meta, h stream.Hint, r io.Reader) (int64, error) {
	f, err := s.Tree(path.Dir(path.Clean(p))).Create(path.Base(p), m, h)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	if err != nil {
		f.Abort()
		return n, err
	}
	return n, f.Close()
}

// Adopt puts a file or directory of an earlier point at p without reading its bytes.
func (s *Session) Adopt(p string, e Entry) error {
	if e.entry == nil {
		return errors.New("adopt: empty entry")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place(path.Clean(p), &node{adopted: e.entry})
}

// Entry is a file or directory of a point, by identity.
type Entry struct{ entry *snapshot.DirEntry }

// Abandon gives the session up. What it wrote is never seen and goes away with maintenance.
func (s *Session) Abandon(ctx context.Context) {
	if s.end() {
		s.cancel()
		_ = s.w.Close(ctx) // nothing was promised
	}
}

// end stops the writers, once.
func (s *Session) end() bool {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	open := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	if ended {
		return false
	}
	for _, w := range open {
		w.Abort()
	}
	close(s.pieces)
	s.workers.Wait()
	return true
}
