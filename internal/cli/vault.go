package cli

import (
	"context"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/vault"
)

// openVault opens the vault of a tier; the caller closes it.
func (a *app) openVault(ctx context.Context, cfg *config.Config, t config.Tier) (*vault.Vault, error) {
	pass, err := a.passphrase(ctx, t, false)
	if err != nil {
		return nil, err
	}
	return vault.Open(ctx, location(t), pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State})
}

func location(t config.Tier) vault.Location { return vault.Location{Tier: t.Name, URL: t.URL} }

// withVault runs do on the open vault of the first tier, which is where backups go and where restores look first.
func (a *app) withVault(ctx context.Context, do func(*config.Config, *vault.Vault) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	v, err := a.openVault(ctx, cfg, cfg.Tiers[0])
	if err != nil {
		return err
	}
	defer v.Close(context.WithoutCancel(ctx))
	return do(cfg, v)
}

// withPoint runs do on the point that an operator names.
func (a *app) withPoint(ctx context.Context, name string, do func(*config.Config, *vault.Vault, point.Point) error) error {
	return a.withVault(ctx, func(cfg *config.Config, v *vault.Vault) error {
		points, err := v.Points(ctx)
		if err != nil {
			return err
		}
		p, err := point.Select(points, name)
		if err != nil {
			return err
		}
		p.Tiers = []point.Tier{held(v)}
		return do(cfg, v, p)
	})
}

// held says that the tier of v holds a point. What was verified when is kept per point in the vault's state.
func held(v *vault.Vault) point.Tier {
	return point.Tier{Tier: v.Location().Tier, Held: true, KeepReason: "points stay until an operator removes them"}
}
