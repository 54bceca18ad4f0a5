package cli

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
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

// tierFlag gives a command that reads points the flag that says from where.
func (a *app) tierFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.tier, "tier", "", "read the vault of this `TIER`; default: the first")
	_ = c.RegisterFlagCompletionFunc("tier", a.completeTierFlag)
}

// withVault runs do on the open vault of the tier that --tier names, else of the first, which is where backups go.
func (a *app) withVault(ctx context.Context, do func(*config.Config, *vault.Vault) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	return a.inVault(ctx, cfg, func(v *vault.Vault) error { return do(cfg, v) })
}

// inVault is withVault for a configuration that was read before.
func (a *app) inVault(ctx context.Context, cfg *config.Config, do func(*vault.Vault) error) error {
	t := cfg.Tiers[0]
	if a.tier != "" {
		var err error
		if t, err = tierNamed(cfg, a.tier); err != nil {
			return err
		}
	}
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return err
	}
	defer v.Close(context.WithoutCancel(ctx))
	a.tellOtherClouds(ctx, cfg, v)
	return do(v)
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
		p.Tiers = tiers(v, p, a.findings(cfg), a.holds(ctx, v))
		p.Components = append([]point.Component{}, p.Components...) // in JSON none is an empty list
		return do(cfg, v, p)
	})
}

// tiers says that the tier of v holds a point, and since when that is known to be whole.
func tiers(v *vault.Vault, p point.Point, found verify.Findings, holds map[string]point.Hold) []point.Tier {
	why := "points stay until an operator removes them"
	if h, ok := holds[p.ID]; ok {
		why = holdReason + h.Reason
	}
	return []point.Tier{{Tier: v.Location().Tier, Held: true, Verified: found.Good(p.ID), KeepReason: why}}
}

// holdReason begins the reason why a point stays that is on hold.
const holdReason = "on hold: "

// holds are those of the vault's points; what cannot be read of them is only told.
func (a *app) holds(ctx context.Context, v *vault.Vault) map[string]point.Hold {
	all, err := v.Holds(ctx)
	if err != nil {
		a.warn(err.Error())
	}
	return all
}

// verifications is the record of those of the tier that is read.
func (a *app) verifications(cfg *config.Config) verify.Record {
	r := verify.Record{Dir: cfg.State}
	if a.tier != cfg.Tiers[0].Name {
		r.Tier = a.tier
	}
	return r
}

// findings are what verifications found; a record that cannot be read proves nothing.
func (a *app) findings(cfg *config.Config) verify.Findings {
	all, err := a.verifications(cfg).Findings()
	if err != nil {
		a.warn(err.Error())
	}
	return all
}
