package vault

import (
	"context"
	"fmt"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// Stats says how large a vault is and how much room its place has, in bytes; Capacity is 0 where that has no bounds.
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
	st.Free, st.Capacity, err = v.Space(ctx)
	return st, err
}

// Space returns how much room the vault's place has, in bytes; zeros where that has no bounds.
func (v *Vault) Space(ctx context.Context) (free, capacity int64, err error) {
	if free, capacity, err = v.store.home.space(ctx); err != nil {
		return 0, 0, problem.Wrap(fmt.Errorf("ask for free space: %w", err), "measure vault", v.loc.URL)
	}
	return free, capacity, nil
}
