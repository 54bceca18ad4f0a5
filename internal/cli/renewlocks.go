package cli

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/config"
)

// renewLocks renews, when that is due, the locks of tiers that a command was not about: those of one that is seldom copied to would
// end meanwhile. What fails is only told, since the command did what it was asked. Nobody is asked for a passphrase for it.
func (a *app) renewLocks(ctx context.Context, cfg *config.Config, about []string) {
	for _, t := range cfg.Tiers {
		if t.Lock.Days == 0 || t.Passphrase.IsZero() || slices.Contains(about, t.Name) {
			continue
		}
		if err := a.renewLock(ctx, cfg, t); err != nil && ctx.Err() == nil {
			a.warn(fmt.Sprintf("the locks of tier %s are not renewed: %v", t.Name, err))
		}
	}
}

func (a *app) renewLock(ctx context.Context, cfg *config.Config, t config.Tier) error {
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return err
	}
	defer v.Close(context.WithoutCancel(ctx))
	_, err = v.ExtendLocks(ctx, false)
	return err
}
