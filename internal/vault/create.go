package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
)

// The format of every vault, chosen by measurement: docs/design/vault.md has the table.
const (
	hashName       = "BLAKE3-256"
	encryptionName = "AES256-GCM-HMAC-SHA256"
	packSize       = 20 << 20
	hashSecretSize = 32
)

// ownDir holds what Holdfast keeps in a vault beside kopia's blobs: locks and copies of the format blobs.
const ownDir = ".holdfast"

// CreateOptions are the choices that last as long as the vault.
type CreateOptions struct {
	Cloud string
	// HashSecret is shared by all vaults of one cloud, so that a content has one name in all of them; 32 bytes, or
	// empty to make one.
	HashSecret secret.Secret
	// Lock is how what is stored is locked, by a bucket that can.
	Lock Immutable
}

// Create makes a vault in an empty place; a directory may be absent, and becomes 0700. When it does not return nil there is no vault; what a
// killed creation leaves is refused by Open and by the next Create.
func Create(ctx context.Context, loc Location, pass secret.Secret, opts CreateOptions) error {
	h, err := loc.home()
	if err != nil {
		return err
	}
	if pass.Empty() || opts.Cloud == "" {
		return problem.New(problem.Usage, "name the cloud and give a passphrase", "create vault %s: cloud name or passphrase is empty", loc.URL)
	}
	if n := len(opts.HashSecret.Reveal()); n != 0 && n != hashSecretSize {
		return problem.New(problem.Usage, "take the hash secret from another vault of this cloud", "create vault %s: hash secret of %d bytes", loc.URL, n)
	}
	if err := h.claim(ctx); err != nil {
		return problem.Wrap(err, "create vault", loc.URL)
	}
	if err := initialize(ctx, loc, h, pass, opts); err != nil {
		return problem.Wrap(errors.Join(err, h.undo(context.WithoutCancel(ctx))), "create vault", loc.URL)
	}
	if err := errors.Join(h.settle(ctx), h.close(ctx)); err != nil {
		return problem.Wrap(err, "create vault", loc.URL)
	}
	return nil
}

func initialize(ctx context.Context, loc Location, h home, pass secret.Secret, opts CreateOptions) error {
	st, err := openStore(ctx, h, true)
	if err != nil {
		return err
	}
	if b, ok := st.Storage.(*s3.Bucket); ok {
		if err := b.KeepClasses(ctx); err != nil {
			return err
		}
	}
	o := &repo.NewRepositoryOptions{BlockFormat: format.ContentFormat{
		Hash:                 hashName,
		Encryption:           encryptionName,
		ECCOverheadPercent:   h.ecc(),
		EnablePasswordChange: true,
	}}
	o.BlockFormat.MaxPackSize = packSize
	if opts.Lock.Period > 0 {
		if err := canLock(ctx, st); err != nil {
			return err
		}
		o.RetentionMode, o.RetentionPeriod = opts.Lock.mode(), opts.Lock.Period
	}
	if !opts.HashSecret.Empty() {
		o.BlockFormat.HMACSecret = []byte(opts.HashSecret.Reveal())
	}
	if err := repo.Initialize(ctx, st, o, pass.Reveal()); err != nil {
		return fmt.Errorf("initialize repository: %w", err)
	}
	return settle(ctx, loc, h, pass, opts)
}

// settle opens the new repository once, which proves it, names the owner of its maintenance and keeps copies of the
// format blobs, by which Open tells a damaged one from a wrong passphrase.
func settle(ctx context.Context, loc Location, h home, pass secret.Secret, opts CreateOptions) error {
	began := now()
	v, err := open(ctx, loc, h, pass, OpenOptions{Cloud: opts.Cloud})
	if err != nil {
		return err
	}
	err = v.write(ctx, "settle", ownMaintenance)
	if err == nil {
		err = v.shortenEpochs(ctx)
	}
	if err == nil {
		err = v.keepFormatCopies(ctx)
	}
	if err == nil && opts.Lock.Period > 0 {
		err = v.keep(ctx, lockBlob, lockRecord{Extended: began})
	}
	return errors.Join(err, v.Close(ctx), v.store.sync())
}

// ownMaintenance names the owner of the vault's maintenance.
func ownMaintenance(ctx context.Context, w repo.DirectRepositoryWriter) error {
	p := maintenance.DefaultParams()
	p.Owner = w.ClientOptions().UsernameAtHost()
	cfg, err := w.FormatManager().BlobCfgBlob(ctx)
	if err != nil {
		return err
	}
	p.ExtendObjectLocks = cfg.IsRetentionEnabled()
	return maintenance.SetParams(ctx, w, &p)
}

// Indexes are gathered by epochs: kopia compacts those of one when the next one has ended too. With its own epochs of a day at least,
// whoever opens a vault reads every index of two or three days one by one, and a run of two sources writes five. Those here end with
// each quick maintenance, if they have 20 indexes, which makes it two or three hours. kopia asks that writers look three times in an
// epoch which one it is, at least.
const (
	epochLength = QuickEvery * 3 / 4
	epochLooked = epochLength / 3
)

// shortenEpochs is for vaults that many runs of a day write into. A new repository always begins with kopia's own parameters.
func (v *Vault) shortenEpochs(ctx context.Context) error {
	f := v.repo.FormatManager()
	parameters, err := f.GetMutableParameters(ctx)
	if err != nil {
		return err
	}
	cfg, err := f.BlobCfgBlob(ctx)
	if err != nil {
		return err
	}
	features, err := f.RequiredFeatures(ctx)
	if err != nil {
		return err
	}
	parameters.EpochParameters.MinEpochDuration, parameters.EpochParameters.EpochRefreshFrequency = epochLength, epochLooked
	return f.SetParameters(ctx, parameters, cfg, features)
}

// keepFormatCopies writes the format blobs beside the repository.
func (v *Vault) keepFormatCopies(ctx context.Context) error {
	blobs, err := v.KitBlobs(ctx)
	if err != nil {
		return err
	}
	for name, data := range blobs {
		if err := v.store.home.keepFormat(ctx, name, data); err != nil {
			return err
		}
	}
	return nil
}

// SecretOf returns the hash secret of a vault from its format blobs, as the recovery kit has them, and its passphrase.
func SecretOf(ctx context.Context, blobs map[string][]byte, pass secret.Secret) (hash secret.Secret, err error) {
	dir, err := os.MkdirTemp("", "holdfast-format-")
	if err != nil {
		return hash, fmt.Errorf("open format blobs: %w", err)
	}
	defer os.RemoveAll(dir)
	for name, data := range blobs {
		if err := os.WriteFile(filepath.Join(dir, name+".f"), data, 0o600); err != nil {
			return hash, fmt.Errorf("open format blobs: %w", err)
		}
	}
	loc := Location{URL: dir}
	h, err := loc.home()
	if err != nil {
		return hash, err
	}
	v, err := open(ctx, loc, h, pass, OpenOptions{})
	if err != nil {
		return hash, fmt.Errorf("open format blobs: %w", err)
	}
	return v.HashSecret(), v.Close(ctx)
}
