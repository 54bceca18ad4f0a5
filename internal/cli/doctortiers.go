package cli

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/config"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// checkTiers looks at the tiers after the first, whose vault may be nil.
func (a *app) checkTiers(ctx context.Context, cfg *config.Config, first *vault.Vault, described func() (*cloud, error)) (areas []area) {
	for _, t := range cfg.Tiers[1:] {
		checks := append(a.checkTier(ctx, cfg, t, first), checkServed(ctx, cfg, t, described, a.env.Now())...)
		areas = append(areas, area{"tier " + t.Name, checks})
	}
	return areas
}

func (a *app) checkTier(ctx context.Context, cfg *config.Config, t config.Tier, first *vault.Vault) []source.Check {
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		checks := []source.Check{failed("vault", err)}
		if t.S3 != nil {
			checks = append(checks, a.checkDeleted(ctx, t, nil))
		}
		return checks
	}
	defer v.Close(context.WithoutCancel(ctx))
	checks := []source.Check{passed("vault", "%s opens with its passphrase", t.URL), checkMode(v)}
	if stats, err := v.Stats(ctx); err != nil {
		checks = append(checks, failed("space", err))
	} else {
		checks = append(checks, checkSpace(t, stats))
	}
	checks = append(checks, a.checkLocks(ctx, t, v)...)
	if t.S3 != nil {
		checks = append(checks, a.checkDeleted(ctx, t, v))
	}
	if first != nil {
		checks = append(checks, a.checkHeld(ctx, cfg, t, first, v))
	}
	return checks
}

// checkHeld compares the points of a tier with those of the first that its rules want.
func (a *app) checkHeld(ctx context.Context, cfg *config.Config, t config.Tier, first, v *vault.Vault) source.Check {
	r, err := first.Replica(ctx, v, vault.ReplicaOptions{DryRun: true})
	if err != nil {
		return failed("points", err)
	}
	unwanted, err := a.unwanted(ctx, cfg, t, first, v)
	if err != nil {
		return failed("points", err)
	}
	lacking := slices.DeleteFunc(r.Lacking(), func(s vault.Sealed) bool { return unwanted[s.ID] != "" })
	if len(lacking) == 0 && len(unwanted) > 0 {
		return passed("points", "holds all of the first tier but %d that its keep does not want", len(unwanted))
	}
	if len(lacking) == 0 {
		return passed("points", "holds all %d of the first tier", r.Held())
	}
	return source.Check{
		Name: "points", Status: source.Warn, Mend: "holdfast replicate " + t.Name,
		Detail: fmt.Sprintf("lacks %d of the first tier's %d, the newest %s", len(lacking), len(lacking)+r.Held(), lacking[0].ID),
	}
}
