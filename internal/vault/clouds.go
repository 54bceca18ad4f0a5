package vault

import (
	"context"

	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
)

// Clouds counts the sealed points of every cloud that the vault holds, by the cloud's name. An open vault shows the
// points of one cloud alone; those of another come from a configuration that named the cloud otherwise.
func (v *Vault) Clouds(ctx context.Context) (map[string]int, error) {
	if err := v.repo.Refresh(ctx); err != nil {
		return nil, problem.Wrap(v.failure(err), "list clouds of vault", v.loc.URL)
	}
	found, err := v.repo.FindManifests(ctx, map[string]string{
		manifest.TypeLabelKey: snapshot.ManifestType, snapshot.UsernameLabel: user, tagSource: pointPath,
	})
	if err != nil {
		return nil, v.unlisted(ctx, err)
	}
	clouds := map[string]int{}
	for _, m := range found {
		clouds[m.Labels[snapshot.HostnameLabel]]++
	}
	return clouds, nil
}
