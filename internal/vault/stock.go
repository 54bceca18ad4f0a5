package vault

import (
	"context"

	"holdfast/internal/problem"
)

// MostContents is how many contents a vault may hold without Holdfast taking more memory than it should.
const MostContents = 20_000_000

// What a content takes in the vault's indexes, in bytes: its name, place and lengths in format 2 of kopia's indexes, encrypted,
// with error correction.
const indexedBytes = 51

// Contents is about how many contents the vault holds, counted by the length of its indexes. What was removed and is not
// reclaimed yet counts too.
func (v *Vault) Contents(ctx context.Context) (int64, error) {
	blobs, err := v.repo.IndexBlobs(ctx, false)
	if err != nil {
		return 0, problem.Wrap(v.failure(err), "measure vault", v.loc.URL)
	}
	var bytes int64
	for _, b := range blobs {
		bytes += b.Length
	}
	return bytes / indexedBytes, nil
}
