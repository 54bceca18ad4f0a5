package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// The format of every vault, chosen by measurement: docs/design/vault.md has the table.
const (
	hashName       = "BLAKE3-256"
	encryptionName = "AES256-GCM-HMAC-SHA256"
	eccPercent     = 2
	packSize       = 20 << 20
	hashSecretSize = 32
)

// ownDir holds what Holdfast keeps in a vault beside kopia's blobs: locks and copies of the format blobs.
const ownDir = ".holdfast"

// creating marks a vault whose creation has not ended.
const creating = ".holdfast-creating"

// CreateOptions are the choices that last as long as the vault.
type CreateOptions struct {
	Cloud string
	// HashSecret is shared by all vaults of one cloud, so that a content has one name in all of them; 32 bytes, or
	// empty to make one.
	HashSecret secret.Secret
}

// Create makes a vault in an empty or absent directory, 0700. When it does not return nil there is no vault; what a
// killed creation leaves is refused by Open and by the next Create.
func Create(ctx context.Context, loc Location, pass secret.Secret, opts CreateOptions) error {
	dir, err := loc.dir()
	if err != nil {
		return err
	}
	if pass.Empty() || opts.Cloud == "" {
		return problem.New(problem.Usage, "name the cloud and give a passphrase", "create vault %s: cloud name or passphrase is empty", loc.URL)
	}
	if n := len(opts.HashSecret.Reveal()); n != 0 && n != hashSecretSize {
		return problem.New(problem.Usage, "take the hash secret from another vault of this cloud", "create vault %s: hash secret of %d bytes", loc.URL, n)
	}
	mark, err := claim(dir)
	if err != nil {
		return problem.Wrap(err, "create vault", loc.URL)
	}
	if err := initialize(ctx, loc, dir, pass, opts); err != nil {
		return problem.Wrap(errors.Join(err, undo(dir)), "create vault", loc.URL)
	}
	if err := os.Remove(mark); err != nil {
		return problem.Wrap(err, "create vault", loc.URL)
	}
	return nil
}

// claim makes dir, refuses it when anything is in it, and leaves the mark that only a finished creation removes.
func claim(dir string) (mark string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := refuse(dir); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return "", err
	}
	mark = filepath.Join(dir, creating)
	f, err := os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	return mark, f.Close()
}

// refuse says why a directory is not free to become a vault.
func refuse(dir string) error {
	names := map[string]bool{}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names[e.Name()] = true
	}
	delete(names, "lost+found") // an empty filesystem's own
	switch {
	case err != nil:
		return err
	case names[creating]:
		return problem.New(problem.Failed, "nothing was kept in it yet: empty "+dir+" and run this again", "an earlier creation of this vault was interrupted")
	case names["kopia.repository.f"]:
		return problem.New(problem.Failed, "open it, or choose another directory", "there is a vault already")
	case len(names) > 0:
		return problem.New(problem.Failed, "choose an empty directory", "the directory is not empty: %s is in it", entries[0].Name())
	}
	return nil
}

// undo empties a directory whose creation failed; the mark goes last.
func undo(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); name != "lost+found" && name != creating {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, creating))
}

func initialize(ctx context.Context, loc Location, dir string, pass secret.Secret, opts CreateOptions) error {
	st, err := openStore(ctx, dir, true)
	if err != nil {
		return err
	}
	o := &repo.NewRepositoryOptions{BlockFormat: format.ContentFormat{
		Hash:                 hashName,
		Encryption:           encryptionName,
		ECCOverheadPercent:   eccPercent,
		EnablePasswordChange: true,
	}}
	o.BlockFormat.MaxPackSize = packSize
	if !opts.HashSecret.Empty() {
		o.BlockFormat.HMACSecret = []byte(opts.HashSecret.Reveal())
	}
	if err := repo.Initialize(ctx, st, o, pass.Reveal()); err != nil {
		return fmt.Errorf("initialize repository: %w", err)
	}
	if err := st.Close(ctx); err != nil {
		return err
	}
	return settle(ctx, loc, pass, opts)
}

// settle opens the new repository once, which proves it, names the owner of its maintenance and keeps copies of the
// format blobs, by which Open tells a damaged one from a wrong passphrase.
func settle(ctx context.Context, loc Location, pass secret.Secret, opts CreateOptions) error {
	v, err := open(ctx, loc, pass, OpenOptions{Cloud: opts.Cloud})
	if err != nil {
		return err
	}
	err = v.write(ctx, "settle", ownMaintenance)
	if err == nil {
		err = v.keepFormatCopies(ctx)
	}
	return errors.Join(err, v.Close(ctx), v.store.sync())
}

// ownMaintenance names the owner of the vault's maintenance.
func ownMaintenance(ctx context.Context, w repo.DirectRepositoryWriter) error {
	p := maintenance.DefaultParams()
	p.Owner = w.ClientOptions().UsernameAtHost()
	return maintenance.SetParams(ctx, w, &p)
}

// keepFormatCopies writes the format blobs beside the repository.
func (v *Vault) keepFormatCopies(ctx context.Context) error {
	blobs, err := v.KitBlobs(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(v.store.root, ownDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for name, data := range blobs {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
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
	v, err := open(ctx, Location{URL: dir}, pass, OpenOptions{})
	if err != nil {
		return hash, fmt.Errorf("open format blobs: %w", err)
	}
	return v.HashSecret(), v.Close(ctx)
}
