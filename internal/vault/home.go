package vault

import (
	"context"
	"errors"
	"slices"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// creating marks a place in which the creation of a vault has not ended.
const creating = ".holdfast-creating"

// home is where the blobs of a vault lie, with what must be asked of the place beyond blobs.
type home interface {
	// present fails when the place cannot be reached, or holds what an interrupted creation left.
	present(ctx context.Context) error
	// occupied reports whether anything is in the place.
	occupied(ctx context.Context) (bool, error)
	// claim refuses a place in which anything is, and leaves the mark that settle removes and by which present tells a half-made vault.
	claim(ctx context.Context) error
	settle(ctx context.Context) error
	// undo empties a claimed place.
	undo(ctx context.Context) error
	// open returns the storage of the blobs.
	open(ctx context.Context, create bool) (blob.Storage, error)
	// keepFormat keeps a copy of a format blob beside the repository, and formatCopy returns it, or nil.
	keepFormat(ctx context.Context, name string, data []byte) error
	formatCopy(ctx context.Context, name string) []byte
	// put is told of each blob that was put, and sync makes those survive a power cut.
	put(ctx context.Context, id blob.ID) error
	sync() error
	// space is the room there is, all 0 where nobody can tell.
	space(ctx context.Context) (free, capacity int64, err error)
	// ecc is how many percent of the blobs correct errors.
	ecc() int
	// hint says how to reach the place.
	hint() string
	// close ends the connections there are; the next use makes new ones.
	close(ctx context.Context) error
}

// What kind of place error correction pays for: a disk may damage a sector, a bucket is kept several times over.
const (
	eccOnDisk   = 2
	eccInBucket = 0
)

// home finds the place by the scheme of the URL.
func (l Location) home() (home, error) {
	switch l.scheme() {
	case "s3":
		return newBucketHome(l)
	case "sftp":
		return newSFTPHome(l)
	}
	dir, err := l.dir()
	if err != nil {
		return nil, err
	}
	return &directory{loc: l, path: dir, dirty: map[string]bool{}}, nil
}

// halfMade is the problem of a place in which a creation was interrupted.
func (l Location) halfMade(place string) error {
	return l.unreachable("nothing was kept in it yet: empty "+place+" and run holdfast init again", errors.New("the creation of this vault was interrupted"))
}

// taken says why a place is not free to become a vault, by the names of what is in it.
func taken(place, kind string, names []string) error {
	switch {
	case slices.Contains(names, creating):
		return problem.New(problem.Failed, "nothing was kept in it yet: empty "+place+" and run this again", "an earlier creation of this vault was interrupted")
	case slices.Contains(names, "kopia.repository.f"), slices.Contains(names, "kopia.repository"):
		return problem.New(problem.Failed, "open it, or choose another "+kind, "there is a vault already")
	case len(names) > 0:
		return problem.New(problem.Failed, "choose an empty "+kind, "the %s is not empty: %s is in it", kind, names[0])
	}
	return nil
}

// Exists reports whether something is at loc already: a vault, the remains of one, or anything else that Create would
// refuse to write beside. What it is, Open tells.
func Exists(ctx context.Context, loc Location) (bool, error) {
	h, err := loc.home()
	if err != nil {
		return false, err
	}
	there, err := h.occupied(ctx)
	return there, errors.Join(err, h.close(context.WithoutCancel(ctx)))
}

// Dir is the directory that holds the vault, "" when it lies elsewhere.
func (v *Vault) Dir() string { return v.store.root }
