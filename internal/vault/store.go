package vault

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
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
	root string

	mu    sync.Mutex
	dirty map[string]bool // directories that got names since the last sync
}

// placer is what kopia's file system storage knows of where its blobs lie.
type placer interface {
	GetShardedPathAndFilePath(ctx context.Context, id blob.ID) (dir, file string, err error)
}

func openStore(ctx context.Context, dir string, create bool) (*store, error) {
	st, err := filesystem.New(ctx, &filesystem.Options{Path: dir}, create)
	if err != nil {
		return nil, err
	}
	if _, ok := st.(placer); !ok {
		return nil, errors.New("kopia's file system storage does not tell where its blobs lie")
	}
	return &store{Storage: st, root: dir, dirty: map[string]bool{}}, nil
}

func (s *store) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: provider, Config: &providerOptions{}}
}

func (s *store) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	endTurn(ctx)
	if err := s.Storage.PutBlob(ctx, id, data, opts); err != nil {
		return err
	}
	if r, ok := ctx.Value(recorderKey{}).(*recorder); ok {
		r.note(id, int64(data.Length()))
	}
	return s.touch(ctx, id)
}

// touch notes the directories that lead to a blob as in need of a sync.
func (s *store) touch(ctx context.Context, id blob.ID) error {
	dir, _, err := s.Storage.(placer).GetShardedPathAndFilePath(ctx, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; len(dir) >= len(s.root); dir = filepath.Dir(dir) {
		s.dirty[dir] = true
	}
	return nil
}

// sync makes everything put so far survive a power cut: kopia syncs its files but not the directories that name them.
func (s *store) sync() error {
	s.mu.Lock()
	dirs := slices.Collect(maps.Keys(s.dirty))
	clear(s.dirty)
	s.mu.Unlock()
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
