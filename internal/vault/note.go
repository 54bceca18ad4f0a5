package vault

import (
	"context"
	"errors"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// noteBlobs are what commands remember in the vault itself, so that every host sees it.
const noteBlobs blob.ID = "holdfast.note."

// Note reads what KeepNote wrote under a name, and reports whether there is anything. What cannot be read is a problem of kind
// Damage.
func (v *Vault) Note(ctx context.Context, name string, into any) (found bool, err error) {
	err = v.kept(ctx, noteBlobs+blob.ID(name), into)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, blob.ErrBlobNotFound):
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	return true, &problem.Error{Kind: problem.Damage, Op: "read note", Target: name + " of vault " + v.loc.URL, Cause: err}
}

// KeepNote remembers a value under a name.
func (v *Vault) KeepNote(ctx context.Context, name string, value any) error {
	if err := v.keep(ctx, noteBlobs+blob.ID(name), value); err != nil {
		return problem.Wrap(err, "keep note "+name+" in vault", v.loc.URL)
	}
	return nil
}
