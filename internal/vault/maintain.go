package vault

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"
	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

// leftoverAge is how old a temporary file must be before no living writer can own it.
const leftoverAge = 24 * time.Hour

// MaintainOptions choose how much maintenance is done. Full rewrites packs and frees the space of deleted points; it
// keeps what is younger than a day, so that no writer can be hurt.
type MaintainOptions struct{ Full bool }

// Maintain compacts indexes, removes what killed writers left, and with Full frees the space of deleted points. One
// process at a time does it; another gets a problem of kind Busy.
func (v *Vault) Maintain(ctx context.Context, opts MaintainOptions) error {
	unlock, err := v.Lock("maintenance")
	if err != nil {
		return err
	}
	defer unlock()
	mode := maintenance.ModeQuick
	if opts.Full {
		mode = maintenance.ModeFull
	}
	err = v.write(ctx, "maintenance", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return snapshotmaintenance.Run(ctx, w, mode, true, maintenance.SafetyFull)
	})
	if err == nil {
		_, err = v.sweepLeftovers()
	}
	if err != nil {
		return problem.Wrap(err, "maintain vault", v.loc.URL)
	}
	return nil
}

// sweepLeftovers removes the temporary files of killed writers, which kopia never looks at again.
func (v *Vault) sweepLeftovers() (removed int, err error) {
	err = filepath.WalkDir(v.store.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(d.Name(), ".tmp.") {
			return err
		}
		fi, err := d.Info()
		if err != nil || now().Sub(fi.ModTime()) < leftoverAge {
			return nil // gone meanwhile, or perhaps in use
		}
		removed++
		return os.Remove(path)
	})
	return removed, err
}

// Stats says how large a vault is and how much room its filesystem has, in bytes.
type Stats struct {
	Blobs    int
	Bytes    int64
	Free     int64
	Capacity int64
}

// Stats lists the blobs of the vault.
func (v *Vault) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	err := v.store.ListBlobs(ctx, "", func(m blob.Metadata) error {
		st.Blobs++
		st.Bytes += m.Length
		return nil
	})
	if err != nil {
		return st, problem.Wrap(err, "list blobs of vault", v.loc.URL)
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(v.store.root, &fsys); err != nil {
		return st, problem.Wrap(fmt.Errorf("ask for free space: %w", err), "measure vault", v.loc.URL)
	}
	st.Free = int64(fsys.Bavail) * fsys.Bsize
	st.Capacity = int64(fsys.Blocks) * fsys.Bsize
	return st, nil
}
