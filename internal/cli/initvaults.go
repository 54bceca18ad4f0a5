package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"holdfast/internal/config"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// opened is the open vault of a tier, and what opened it.
type opened struct {
	config.Tier
	v    *vault.Vault
	pass secret.Secret
}

// ensureVaults creates the vaults of the tiers that have none, and writes the kit of all. A new vault names contents as those
// do that are there.
func (a *app) ensureVaults(ctx context.Context, cfg *config.Config) error {
	tiers := make([]opened, len(cfg.Tiers))
	defer func() { closeAll(ctx, tiers) }()
	var hash secret.Secret
	for _, there := range []bool{true, false} {
		if !there && hash.Empty() {
			hash = a.kitSecret(ctx, cfg)
		}
		for i, t := range cfg.Tiers {
			exists, err := vault.Exists(ctx, a.location(t))
			if err != nil {
				return err
			}
			if exists != there || tiers[i].v != nil {
				continue
			}
			if tiers[i], err = a.ensureVault(ctx, cfg, t, hash); err != nil {
				return err
			}
			if hash.Empty() {
				hash = tiers[i].v.HashSecret()
			}
			if hash.Reveal() != tiers[i].v.HashSecret().Reveal() {
				return problem.New(problem.Usage, "give the tier an empty place and run init again",
					"the vault at %s is not of this cloud: it names contents otherwise than the vault of tier %s", t.URL, tiers[0].Name)
			}
		}
	}
	return a.writeKit(ctx, cfg, tiers)
}

// kitSecret returns the secret by which the vaults name contents, as an earlier kit of this cloud has it: a tier may be out of
// reach, and a new vault must fit it nonetheless. It is empty when there is no such kit.
func (a *app) kitSecret(ctx context.Context, cfg *config.Config) (hash secret.Secret) {
	k, err := kit.Read(cfg.Kit)
	if errors.Is(err, fs.ErrNotExist) || err == nil && k.Cloud != cfg.Cloud {
		return hash
	}
	for _, t := range k.Tiers {
		if hash, err = vault.SecretOf(ctx, t.Blobs, t.Passphrase); err == nil {
			return hash
		}
	}
	a.warn(fmt.Sprintf("the kit in %s does not tell the secret by which the vaults name contents: %v", cfg.Kit, err))
	return secret.Secret{}
}

// ensureVault opens the vault of a tier, and creates it before when there is none.
func (a *app) ensureVault(ctx context.Context, cfg *config.Config, t config.Tier, hash secret.Secret) (opened, error) {
	exists, err := vault.Exists(ctx, a.location(t))
	if err != nil {
		return opened{}, err
	}
	pass, err := a.passphrase(ctx, t, !exists)
	if err != nil {
		return opened{}, err
	}
	if !exists {
		if err := vault.Create(ctx, a.location(t), pass, vault.CreateOptions{Cloud: cfg.Cloud, HashSecret: hash, Lock: immutable(t)}); err != nil {
			return opened{}, err
		}
	}
	v, err := vault.Open(ctx, a.location(t), pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State})
	if err == nil && t.Lock.Days > 0 {
		if _, err := v.SetImmutable(ctx, immutable(t)); err != nil {
			return opened{t, v, pass}, errors.Join(err, v.Close(context.WithoutCancel(ctx)))
		}
	}
	return opened{t, v, pass}, err
}

// openAll opens the vaults of all tiers.
func (a *app) openAll(ctx context.Context, cfg *config.Config) (tiers []opened, err error) {
	for _, t := range cfg.Tiers {
		pass, err := a.passphrase(ctx, t, false)
		if err == nil {
			var v *vault.Vault
			v, err = vault.Open(ctx, a.location(t), pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State})
			tiers = append(tiers, opened{t, v, pass})
		}
		if err != nil {
			closeAll(ctx, tiers)
			return nil, err
		}
	}
	return tiers, nil
}

func closeAll(ctx context.Context, tiers []opened) {
	for _, t := range tiers {
		if t.v != nil {
			t.v.Close(context.WithoutCancel(ctx))
		}
	}
}
