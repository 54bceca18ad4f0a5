package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

const (
	user          = "holdfast"
	metadataCache = 512 << 20 // bytes of directory and index blobs kept in the state directory
)

// OpenOptions say for whom a vault is opened.
type OpenOptions struct {
	Cloud string
	// State is a directory that outlives the process and holds a cache of indexes and directories, never of data.
	// Without it the cache is a temporary one.
	State string
}

// Vault is an open vault; it is safe for concurrent use.
type Vault struct {
	loc   Location
	cloud string
	store *store
	repo  repo.DirectRepository
	cache string // directory of the connection file and of the cache
	temp  bool   // remove cache on Close
	pass  secret.Secret
	turns turns
	fatal atomic.Pointer[error]
	packs atomic.Pointer[packs] // in the store, once it turned out to have lost some that the index names
}

// Open opens the vault at loc. What stands in the way is a *problem.Error of kind Unreachable whose text and hint tell
// an absent place, a place that holds no vault, a wrong passphrase and a damaged format blob apart.
func Open(ctx context.Context, loc Location, pass secret.Secret, opts OpenOptions) (*Vault, error) {
	h, err := loc.home()
	if err != nil {
		return nil, err
	}
	if err := h.present(ctx); err != nil {
		return nil, err
	}
	return open(ctx, loc, h, pass, opts)
}

func open(ctx context.Context, loc Location, h home, pass secret.Secret, opts OpenOptions) (*Vault, error) {
	st, err := openStore(ctx, h, false)
	if err != nil {
		return nil, loc.unreachable(h.hint(), err)
	}
	v := &Vault{loc: loc, cloud: opts.Cloud, store: st, pass: pass, turns: newTurns()}
	if err := v.makeCache(opts.State); err != nil {
		return nil, fmt.Errorf("make cache of vault %s: %w", loc.URL, err)
	}
	v.repo, err = v.connect(ctx, cacheOptions(v.cache))
	if err != nil && v.forgetIndexes(ctx, err) {
		v.repo, err = v.connect(ctx, cacheOptions(v.cache))
	}
	if err != nil {
		v.removeTemp()
		return nil, v.openProblem(ctx, err)
	}
	if st.lock, err = v.Immutable(ctx); err != nil {
		return nil, errors.Join(problem.Wrap(err, "open vault", loc.URL), v.Close(ctx))
	}
	return v, nil
}

// forgetIndexes removes the indexes as kopia has read them before, and reports whether there were any: they may have been damaged in the
// store then, and be whole there now. They stay where the vault was not opened for another reason: reading them again takes long.
func (v *Vault) forgetIndexes(ctx context.Context, why error) bool {
	if errors.Is(why, repo.ErrInvalidPassword) || v.outage(ctx, why) != nil || ctx.Err() != nil {
		return false
	}
	dir := filepath.Join(v.cache, "index-blobs")
	all, err := os.ReadDir(dir)
	return err == nil && len(all) > 0 && os.RemoveAll(dir) == nil
}

func (v *Vault) makeCache(state string) (err error) {
	if state == "" {
		v.temp = true
		v.cache, err = os.MkdirTemp("", "holdfast-vault-")
		return err
	}
	sum := sha256.Sum256([]byte(v.loc.place()))
	v.cache, err = filepath.Abs(filepath.Join(state, "vault-"+hex.EncodeToString(sum[:6])))
	if err != nil {
		return err
	}
	return os.MkdirAll(v.cache, 0o700)
}

// connect opens the repository through a connection file that names the provider and nothing else.
func (v *Vault) connect(ctx context.Context, caching *content.CachingOptions) (repo.DirectRepository, error) {
	if err := shardsLost(v.store.root); err != nil {
		return nil, err
	}
	info := v.store.ConnectionInfo()
	config, err := json.Marshal(repo.LocalConfig{
		Storage: &info,
		Caching: caching,
		ClientOptions: repo.ClientOptions{
			Hostname: v.cloud, Username: user, Description: "holdfast", ReadOnly: !v.loc.At.IsZero(),
			FormatBlobCacheDuration: -1, // read the format from the store, not from the cache
		},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(v.cache, "kopia.config")
	if err := replaceFile(file, config); err != nil {
		return nil, err
	}
	var r repo.Repository
	err = guard(func() (err error) { // kopia panics at the name of an index beyond all epochs
		r, err = repo.Open(context.WithValue(ctx, storeKey{}, v.store), file, v.pass.Reveal(), &repo.Options{
			DisableRepositoryLog: true,
			DoNotWaitForUpgrade:  true,
			TimeNowFunc:          func() time.Time { return now() },
			OnFatalError:         func(err error) { v.fatal.CompareAndSwap(nil, &err) },
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.(repo.DirectRepository), nil
}

// cacheOptions keeps indexes and directories in dir and no data: a cache of data costs more than it saves when whole
// images are read. kopia has no switch for that, so the data cache is one that everything is too large for.
func cacheOptions(dir string) *content.CachingOptions {
	return &content.CachingOptions{
		CacheDirectory:              dir,
		MetadataCacheSizeBytes:      metadataCache,
		MetadataCacheSizeLimitBytes: metadataCache,
		ContentCacheSizeBytes:       1,
		ContentCacheSizeLimitBytes:  1,
	}
}

// replaceFile writes a private file so that a reader sees the old or the new one.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Close releases the vault. Sessions must be sealed or abandoned before.
func (v *Vault) Close(ctx context.Context) error {
	err := v.repo.Close(ctx)
	v.removeTemp()
	return err
}

func (v *Vault) removeTemp() {
	if v.temp {
		os.RemoveAll(v.cache)
	}
}

// Cloud returns the name of the cloud whose points the vault holds.
func (v *Vault) Cloud() string { return v.cloud }

// Location returns where the vault is.
func (v *Vault) Location() Location { return v.loc }

// ID returns the vault's own identity, 32 hexadecimal digits or more, which no other vault has.
func (v *Vault) ID() string { return hex.EncodeToString(v.repo.UniqueID()) }

// HashSecret returns what a new vault of the same cloud needs to name contents alike.
func (v *Vault) HashSecret() secret.Secret {
	return secret.New(string(v.repo.FormatManager().GetHmacSecret()))
}

// KitBlobs returns the blobs without which no passphrase opens the vault, by name, for the recovery kit.
func (v *Vault) KitBlobs(ctx context.Context) (map[string][]byte, error) {
	blobs := map[string][]byte{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range []blob.ID{"kopia.repository", "kopia.blobcfg"} {
		g.Go(func() error {
			var b outputBuffer
			err := v.store.GetBlob(ctx, name, 0, -1, &b)
			switch {
			case errors.Is(err, blob.ErrBlobNotFound): // kopia.blobcfg is written only when the store locks blobs
				return nil
			case err != nil:
				return fmt.Errorf("read blob %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			blobs[string(name)] = append([]byte{}, b.Bytes()...) // never nil: an empty blob is there, and damaged
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return blobs, nil
}

type outputBuffer struct{ bytes.Buffer }

func (b *outputBuffer) Length() int { return b.Len() }

// failure returns err, or the fatal error that kopia met in the background.
func (v *Vault) failure(err error) error {
	if f := v.fatal.Load(); f != nil {
		return errors.Join(err, *f)
	}
	return err
}

// write runs f in a session of kopia and flushes it to disk.
func (v *Vault) write(ctx context.Context, purpose string, f func(context.Context, repo.DirectRepositoryWriter) error) error {
	if err := v.failure(nil); err != nil {
		return err
	}
	err := repo.DirectWriteSession(ctx, v.repo, repo.WriteSessionOptions{Purpose: purpose}, f)
	if err == nil {
		err = v.store.sync()
	}
	return v.failure(err)
}

func (v *Vault) sourceInfo(path string) snapshot.SourceInfo {
	return snapshot.SourceInfo{Host: v.cloud, UserName: user, Path: "/" + path}
}

// now is the clock of everything the vault stamps.
var now = time.Now

// openProblem says why a vault did not open and what to do.
func (v *Vault) openProblem(ctx context.Context, err error) error {
	const fromKit = "holdfast verify --heal puts kopia.repository back from the recovery kit, from another tier or from " + ownDir + " in the vault"
	blobs, berr := v.KitBlobs(ctx)
	have, want := blobs["kopia.repository"], v.store.home.formatCopy(ctx, "kopia.repository")
	switch {
	case ctx.Err() != nil:
		return problem.Wrap(ctx.Err(), "open vault", v.loc.URL)
	case berr != nil:
		return v.loc.unreachable(v.store.home.hint(), berr)
	case have == nil && v.deleted(ctx):
		return v.loc.unreachable("take it back with: holdfast undelete "+v.loc.Tier, errors.New("somebody deleted the vault, and the bucket keeps it"))
	case have == nil && want == nil:
		return v.loc.unreachable("check the tier's url, or make the vault with: holdfast init", errors.New("no vault in this place"))
	case have == nil:
		return v.loc.unreachable(fromKit, errors.New("the format blob is missing"))
	case want != nil && !bytes.Equal(have, want):
		return v.loc.unreachable(fromKit, fmt.Errorf("the format blob is damaged: %w", err))
	case errors.Is(err, repo.ErrInvalidPassword):
		return v.loc.unreachable("give the passphrase that is in the recovery kit", errors.New("wrong passphrase"))
	}
	return v.loc.unreachable("an index, or something else without which no vault opens, may be damaged: holdfast verify --heal makes it anew", err)
}
