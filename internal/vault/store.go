package vault

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
)

// provider is the storage type in kopia's connection file. The file holds nothing else of the storage: what opens it
// travels in the context, so that no credential is ever written down.
const provider = "holdfast"

type providerOptions struct{}

func init() {
	blob.AddSupportedStorage(provider, providerOptions{}, func(ctx context.Context, _ *providerOptions, _ bool) (blob.Storage, error) {
		st, ok := ctx.Value(storeKey{}).(*store)
		if !ok {
			return nil, errors.New("this connection file serves a running holdfast only")
		}
		return st, nil
	})
}

type (
	storeKey    struct{}
	recorderKey struct{}
)

// store is the blob storage of a vault. It notes what each writer puts, by the recorder in the writer's context.
type store struct {
	blob.Storage
	home home
	root string // the directory that the vault is in, "" when it lies elsewhere
	lock Immutable
}

func openStore(ctx context.Context, h home, create bool) (*store, error) {
	st, err := h.open(ctx, create)
	if err != nil {
		return nil, err
	}
	s := &store{Storage: st, home: h}
	if d, ok := h.(*directory); ok {
		s.root = d.path
	}
	return s, nil
}

func (s *store) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: provider, Config: &providerOptions{}}
}

func (s *store) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	endTurn(ctx)
	if err := s.Storage.PutBlob(ctx, id, data, s.ownLock(id, opts)); err != nil {
		return err
	}
	if r, ok := ctx.Value(recorderKey{}).(*recorder); ok {
		r.note(id, int64(data.Length()))
	}
	return s.home.put(ctx, id)
}

// sync makes everything put so far survive a power cut.
func (s *store) sync() error { return s.home.sync() }

// recorder holds the packs and kopia sessions of one writer.
type recorder struct {
	mu       sync.Mutex
	packs    map[blob.ID]int64
	sessions map[content.SessionID]bool
}

func newRecorder() *recorder {
	return &recorder{packs: map[blob.ID]int64{}, sessions: map[content.SessionID]bool{}}
}

func (r *recorder) note(id blob.ID, length int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch id[0] {
	case 'p', 'q':
		r.packs[id] = length
	case 's':
		r.sessions[content.SessionIDFromBlobID(id)] = true
	}
}

// owns reports whether the pack was begun by this writer.
func (r *recorder) owns(pack blob.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[content.SessionIDFromBlobID(pack)]
}

// take returns the packs put since it was called last, with their lengths.
func (r *recorder) take() map[blob.ID]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	packs := r.packs
	r.packs = map[blob.ID]int64{}
	return packs
}

// written returns the packs put so far with their lengths.
func (r *recorder) written() map[blob.ID]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.packs)
}
