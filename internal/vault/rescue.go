package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Rescued is a vault that was opened in spite of damage, and what was done for that, in words.
type Rescued struct {
	*Vault
	Done []string
}

// Rescue opens a vault, and when it does not open puts right what stands in the way: a format blob comes back from the vault's
// own copy or from one of formats, which the recovery kit and other tiers have, and an index that cannot be read is set aside,
// under State, and what it named is named again by the packs themselves. The error is that of Open when nothing of this helps.
func Rescue(ctx context.Context, loc Location, pass secret.Secret, opts OpenOptions, formats ...map[string][]byte) (Rescued, error) {
	v, err := Open(ctx, loc, pass, opts)
	if err == nil || problem.KindOf(err) != problem.Unreachable || ctx.Err() != nil {
		return Rescued{Vault: v}, err
	}
	exists, xerr := Exists(ctx, loc)
	if xerr != nil || !exists {
		return Rescued{}, err
	}
	r := rescuer{loc: loc, pass: pass, opts: opts}
	if rerr := r.shards(ctx); rerr != nil {
		return Rescued{}, errors.Join(err, rerr)
	}
	if rerr := r.format(ctx, formats); rerr != nil {
		return Rescued{}, errors.Join(err, rerr)
	}
	if v, err = Open(ctx, loc, pass, opts); err == nil || problem.KindOf(err) != problem.Unreachable {
		return Rescued{v, r.done}, err
	}
	v, rerr := r.indexes(ctx)
	if rerr != nil {
		return Rescued{}, errors.Join(err, rerr)
	}
	return Rescued{v, r.done}, nil
}

// rescuer opens a vault that does not open.
type rescuer struct {
	loc  Location
	pass secret.Secret
	opts OpenOptions
	done []string
}

// shards puts right how the blobs of a directory are sorted.
func (r *rescuer) shards(ctx context.Context) error {
	mended, err := r.mendShards(ctx)
	if mended {
		r.done = append(r.done, "file "+shardsFile+", which says where the blobs are, was written anew")
	}
	return err
}

// mendShards has a directory here mend that, or one behind sftp.
func (r *rescuer) mendShards(ctx context.Context) (bool, error) {
	if dir, err := r.loc.dir(); err == nil {
		return mendShards(ctx, dir)
	}
	h, err := r.loc.home()
	if err != nil {
		return false, err
	}
	st, err := h.open(ctx, false)
	if err != nil {
		return false, err
	}
	defer h.close(context.WithoutCancel(ctx))
	if far, ok := st.(interface {
		MendShards(context.Context) (bool, error)
	}); ok {
		return far.MendShards(ctx)
	}
	return false, nil // a bucket sorts nothing
}

// bare is the vault with a store and nothing else.
func (r *rescuer) bare(ctx context.Context) (*Vault, error) {
	h, err := r.loc.home()
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, h, false)
	if err != nil {
		return nil, err
	}
	return &Vault{loc: r.loc, cloud: r.opts.Cloud, store: st, pass: r.pass, turns: newTurns()}, nil
}

// format puts a format back that the passphrase opens, if the vault's own is none and there is one.
func (r *rescuer) format(ctx context.Context, formats []map[string][]byte) error {
	v, err := r.bare(ctx)
	if err != nil {
		return err
	}
	have, err := v.KitBlobs(ctx)
	if err != nil {
		return err
	}
	if _, err := SecretOf(ctx, have, r.pass); err == nil {
		return nil
	}
	if own := v.store.home.formatCopy(ctx, "kopia.repository"); own != nil {
		formats = append([]map[string][]byte{{"kopia.repository": own}}, formats...)
	}
	for _, f := range formats {
		with := maps.Clone(have)
		maps.Copy(with, f)
		if _, err := SecretOf(ctx, with, r.pass); err != nil {
			continue
		}
		return r.putFormat(ctx, v, have, with)
	}
	return nil
}

func (r *rescuer) putFormat(ctx context.Context, v *Vault, have, with map[string][]byte) error {
	for name, data := range with {
		if bytes.Equal(data, have[name]) {
			continue
		}
		if err := v.setAside(r.opts.State, blob.ID(name), have[name]); err != nil {
			return err
		}
		if err := v.store.PutBlob(ctx, blob.ID(name), ownBytes(data), blob.PutOptions{}); err != nil {
			return fmt.Errorf("put blob %s back: %w", name, err)
		}
		r.done = append(r.done, "blob "+name+" was put back from a copy")
	}
	return v.store.sync()
}

// indexes opens the vault as if it had no index, sets aside those that cannot be read, and opens it again.
func (r *rescuer) indexes(ctx context.Context) (*Vault, error) {
	blind, err := r.bare(ctx)
	if err != nil {
		return nil, err
	}
	real := blind.store.Storage
	blind.store.Storage = withoutIndexes{real}
	if err := blind.makeCache(""); err != nil {
		return nil, err
	}
	defer blind.removeTemp()
	if blind.repo, err = blind.connect(ctx, cacheOptions(blind.cache)); err != nil {
		return nil, fmt.Errorf("open it without its indexes: %w", err)
	}
	defer blind.repo.Close(context.WithoutCancel(ctx))
	blind.store.Storage = real
	lease, err := blind.lease(ctx, leaseOwn, "the rescue of its indexes") // who reclaims space goes by them
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	done, err := blind.dropBadIndexes(lease.Context(), r.opts.State)
	if err != nil {
		return nil, lease.failure(err)
	}
	r.done = append(r.done, done...)
	v, err := Open(ctx, r.loc, r.pass, r.opts)
	if err != nil {
		return nil, err
	}
	n, unread, err := v.nameAgain(lease.Context(), true)
	if err != nil {
		return nil, errors.Join(lease.failure(err), v.Close(ctx))
	}
	r.done = append(r.done, namedAgain(n, unread))
	return v, nil
}

// withoutIndexes is a storage that lists no index.
type withoutIndexes struct{ blob.Storage }

func (s withoutIndexes) ListBlobs(ctx context.Context, prefix blob.ID, visit func(blob.Metadata) error) error {
	return s.Storage.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
		if m.BlobID[0] == 'x' {
			return nil
		}
		return visit(m)
	})
}

// setAside keeps the bytes of a damaged blob in the state directory, for analysis.
func (v *Vault) setAside(state string, name blob.ID, data []byte) error {
	if state == "" || len(data) == 0 {
		return nil
	}
	dir := filepath.Join(state, "damaged", v.loc.Tier)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("set damaged blob %s aside: %w", name, err)
	}
	if err := replaceFile(filepath.Join(dir, string(name)), data); err != nil {
		return fmt.Errorf("set damaged blob %s aside: %w", name, err)
	}
	return nil
}
