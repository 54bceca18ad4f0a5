package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// openVault opens the vault of a tier; the caller closes it.
func (a *app) openVault(ctx context.Context, cfg *config.Config, t config.Tier) (*vault.Vault, error) {
	loc, err := a.locationAt(t)
	if err != nil {
		return nil, err
	}
	pass, err := a.passphrase(ctx, t, false)
	if err != nil {
		return nil, err
	}
	return vault.Open(ctx, loc, pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State})
}

// tierFlag gives a command that reads points the flag that says from where.
func (a *app) tierFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.tier, "tier", "", "read the vault of this `TIER`; default: the first")
	_ = c.RegisterFlagCompletionFunc("tier", a.completeTierFlag)
	c.Flags().StringVar(&a.at, "at", "", "read it as it was at `TIME` (2026-01-31T22:00:00Z), whatever was deleted since; in a bucket that keeps versions")
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
		p.Tiers = tiers(v, p, a.findings(cfg, a.tier), a.keepReasons(ctx, cfg, v, points), a.lockedUntil(ctx, v))
		p.Components = append([]point.Component{}, p.Components...) // in JSON none is an empty list
		return do(cfg, v, p)
	})
}

// tiers says that the tier of v holds a point, since when that is known to be whole, why it stays, and until when it is locked.
func tiers(v *vault.Vault, p point.Point, found verify.Findings, why map[string]string, locked *time.Time) []point.Tier {
	return []point.Tier{proven(point.Tier{Tier: v.Location().Tier, Held: true, LockedUntil: locked, KeepReason: why[p.ID]}, found, p.ID)}
}

// lockedUntil is when the first blob of the vault may be removed, nil when nothing is locked; what cannot be asked is only told.
func (a *app) lockedUntil(ctx context.Context, v *vault.Vault) *time.Time {
	until, err := v.LockedUntil(ctx)
	if err != nil {
		a.warn(err.Error())
	}
	if err != nil || until.IsZero() {
		return nil
	}
	until = until.UTC().Truncate(time.Second)
	return &until
}

// holdReason begins the reason why a point stays that is on hold.
const holdReason = "on hold: "

// verifications is the record of those of a tier; "" is the first.
func verifications(cfg *config.Config, tier string) verify.Record {
	if tier == cfg.Tiers[0].Name {
		tier = ""
	}
	return verify.Record{Dir: cfg.State, Tier: tier}
}

// findings are what verifications of a tier found, "" the first; a record that cannot be read proves nothing.
func (a *app) findings(cfg *config.Config, tier string) verify.Findings {
	all, err := verifications(cfg, tier).Findings()
	if err != nil {
		a.warn(err.Error())
	}
	return all
}
