package cli

import (
	"context"
	"fmt"

	"holdfast/internal/config"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// checkTiers looks at the tiers after the first, whose vault may be nil.
func (a *app) checkTiers(ctx context.Context, cfg *config.Config, first *vault.Vault) (areas []area) {
	for _, t := range cfg.Tiers[1:] {
		areas = append(areas, area{"tier " + t.Name, a.checkTier(ctx, cfg, t, first)})
	}
	return areas
}

func (a *app) checkTier(ctx context.Context, cfg *config.Config, t config.Tier, first *vault.Vault) []source.Check {
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return []source.Check{failed("vault", err)}
	}
	defer v.Close(context.WithoutCancel(ctx))
	checks := []source.Check{passed("vault", "%s opens with its passphrase", t.URL), checkMode(v)}
	if stats, err := v.Stats(ctx); err != nil {
		checks = append(checks, failed("space", err))
	} else {
		checks = append(checks, checkSpace(t, stats))
	}
	if first != nil {
		checks = append(checks, checkHeld(ctx, t, first, v))
	}
	return checks
}

// checkHeld compares the points of a tier with those of the first.
func checkHeld(ctx context.Context, t config.Tier, first, v *vault.Vault) source.Check {
	r, err := first.Replica(ctx, v, vault.ReplicaOptions{DryRun: true})
	if err != nil {
		return failed("points", err)
	}
	lacking := r.Lacking()
	if len(lacking) == 0 {
		return passed("points", "holds all %d of the first tier", r.Held())
	}
	return source.Check{
		Name: "points", Status: source.Warn, Mend: "holdfast replicate " + t.Name,
		Detail: fmt.Sprintf("lacks %d of the first tier's %d, the newest %s", len(lacking), len(lacking)+r.Held(), lacking[0].ID),
	}
}
