package vault

import (
	"context"

	"holdfast/internal/problem"
)

// Clouds counts the sealed points of every cloud that the vault holds, by the cloud's name. An open vault shows the
// points of one cloud alone; those of another come from a configuration that named the cloud otherwise.
func (v *Vault) Clouds(ctx context.Context) (map[string]int, error) {
	found, _, err := v.find(ctx, map[string]string{tagSource: pointPath})
	if err != nil {
		return nil, problem.Wrap(err, "list clouds of vault", v.loc.URL)
	}
	clouds := map[string]int{}
	for _, m := range found {
		clouds[m.Source.Host]++
	}
	return clouds, nil
}
