package vault

import (
	"context"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// Pack is a blob that holds contents.
type Pack struct {
	ID      string
	Bytes   int64
	Written time.Time
}

// Packs lists the packs of the vault.
func (v *Vault) Packs(ctx context.Context) (all []Pack, err error) {
	for _, prefix := range []blob.ID{"p", "q"} {
		err := v.store.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			all = append(all, Pack{string(m.BlobID), m.Length, m.Timestamp})
			return nil
		})
		if err != nil {
			return nil, problem.Wrap(err, "list packs of vault", v.loc.URL)
		}
	}
	return all, nil
}
