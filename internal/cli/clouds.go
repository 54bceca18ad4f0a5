package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// otherClouds counts the points in a vault that belong to another cloud than the configured one. Nothing shows them, so
// that a cloud which was renamed in holdfast.yml looks as if it had never been backed up. Of a vault that cannot be
// listed there are none, and doctor tells why.
func otherClouds(ctx context.Context, v *vault.Vault) map[string]int {
	clouds, err := v.Clouds(ctx)
	if err != nil {
		return map[string]int{}
	}
	delete(clouds, v.Cloud())
	return clouds
}

// tellOtherClouds warns of points that a command does not see.
func (a *app) tellOtherClouds(ctx context.Context, cfg *config.Config, v *vault.Vault) {
	others := otherClouds(ctx, v)
	if len(others) == 0 {
		return
	}
	a.warn(fmt.Sprintf("the vault also holds %s, which cloud %s does not show; if it was renamed, %s", countClouds(others), cfg.Cloud, nameBack(cfg, others)))
}

// countClouds tells how many points each cloud has: "12 points of cloud prod, 1 point of cloud test".
func countClouds(clouds map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(clouds)) {
		points := "points"
		if clouds[name] == 1 {
			points = "point"
		}
		parts = append(parts, fmt.Sprintf("%d %s of cloud %s", clouds[name], points, name))
	}
	return strings.Join(parts, ", ")
}

// nameBack is how the points of the largest of other clouds are seen again.
func nameBack(cfg *config.Config, others map[string]int) string {
	names := slices.Sorted(maps.Keys(others))
	most := slices.MaxFunc(names, func(a, b string) int { return others[a] - others[b] })
	return fmt.Sprintf("write cloud: %s in %s again", most, cfg.File)
}

// checkClouds is doctor's word on whose points the vault holds.
func checkClouds(ctx context.Context, cfg *config.Config, v *vault.Vault) source.Check {
	clouds, err := v.Clouds(ctx)
	if err != nil {
		return failed("cloud", err)
	}
	own := clouds[cfg.Cloud]
	delete(clouds, cfg.Cloud)
	c := passed("cloud", "it holds %d points of cloud %s", own, cfg.Cloud)
	if len(clouds) > 0 {
		c.Status = source.Warn
		c.Detail += ", and " + countClouds(clouds) + ", which no command shows"
		c.Mend = "if the cloud was renamed, " + nameBack(cfg, clouds) + "; if these are two clouds, give each a vault of its own"
	}
	return c
}
