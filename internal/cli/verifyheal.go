package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/config"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/vault"
)

// healed is the result of verify --heal.
type healed struct {
	Tier string `json:"tier"`
	vault.Healing
	Each []verified `json:"verified"`
}

// heal verifies the points of a tier, and writes anew what is damaged and another tier has. It opens the tier's vault also when that
// is too damaged to be opened.
func (a *app) heal(ctx context.Context, name string, o verifyOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	t := cfg.Tiers[0]
	if a.tier != "" {
		if t, err = tierNamed(cfg, a.tier); err != nil {
			return err
		}
	}
	others := a.openOthers(ctx, cfg, t.Name)
	defer func() { closeAll(ctx, others) }()
	v, err := a.rescue(ctx, cfg, t, others)
	if err != nil {
		return err
	}
	defer v.Close(context.WithoutCancel(ctx))
	id, err := chosenPoint(ctx, v.Vault, name, o.all)
	if err != nil {
		return err
	}
	var from []*vault.Vault
	for _, t := range others {
		from = append(from, t.v)
	}
	plan, err := a.planVerify(ctx, cfg, v.Vault, o)
	if err != nil {
		return err
	}
	h, err := v.Heal(ctx, id, from, plan.opts)
	a.came.Read = h.ReadBytes
	h.Mended = append(append([]string{}, v.Done...), h.Mended...)
	if err != nil && problem.KindOf(err) != problem.Damage {
		for _, m := range h.Mended {
			a.warn("tier " + t.Name + ": " + m)
		}
		if id == "" && problem.KindOf(err) == problem.NotFound {
			is, err := v.Immutable(ctx)
			return noPoint(cfg, t, err != nil || is.Period > 0)
		}
		return err
	}
	for _, other := range from {
		a.exchangeFormats(ctx, v.Vault, other)
	}
	return errors.Join(a.remember(cfg, h.Report, plan), a.tellHealed(t.Name, h), unhealed(h.Report))
}

// noPoint is the problem of a tier that can be opened and of which healing found no point.
func noPoint(cfg *config.Config, t config.Tier, locked bool) error {
	hint := "holdfast replicate " + t.Name + " brings what the tiers before it have"
	if t.Name == cfg.Tiers[0].Name {
		hint = "holdfast backup takes a point"
		if len(cfg.Tiers) > 1 {
			hint = "holdfast replicate " + t.Name + " --from " + cfg.Tiers[1].Name + " brings what that tier has, and " + hint
		}
	}
	if locked {
		hint = "if somebody deleted or overwrote them, first holdfast undelete " + t.Name + ", which takes them back; " + hint
	}
	return problem.New(problem.NotFound, hint, "there is no point in tier %s, and nothing that tells of one", t.Name)
}

// rescue opens the vault of a tier, with what the recovery kit and the other tiers know of it.
func (a *app) rescue(ctx context.Context, cfg *config.Config, t config.Tier, others []opened) (vault.Rescued, error) {
	pass, err := a.passphrase(ctx, t, false)
	if err != nil {
		return vault.Rescued{}, err
	}
	var formats []map[string][]byte
	if k, err := kit.Read(cfg.Kit); err == nil {
		for _, kt := range k.Tiers {
			if kt.Name == t.Name {
				formats = append(formats, kt.Blobs)
			}
		}
	}
	for _, o := range others {
		if f, err := o.v.Format(ctx, t.Name); err == nil {
			formats = append(formats, f)
		}
	}
	return vault.Rescue(ctx, a.location(t), pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State}, formats...)
}

// exchangeFormats has two vaults keep what opens the other one, beside its passphrase.
func (a *app) exchangeFormats(ctx context.Context, v, other *vault.Vault) {
	var both sync.WaitGroup
	var here, there error
	both.Go(func() { here = v.KeepFormat(ctx, other) })
	both.Go(func() { there = other.KeepFormat(ctx, v) })
	both.Wait()
	if err := errors.Join(here, there); err != nil && ctx.Err() == nil {
		a.warn(err.Error())
	}
}

// openOthers opens the vaults of all tiers but one, and warns of those that cannot be opened.
func (a *app) openOthers(ctx context.Context, cfg *config.Config, but string) (others []opened) {
	for _, t := range cfg.Tiers {
		if t.Name == but {
			continue
		}
		v, err := a.openVault(ctx, cfg, t)
		if err != nil {
			a.warn(fmt.Sprintf("tier %s cannot help: %v", t.Name, err))
			continue
		}
		others = append(others, opened{Tier: t, v: v})
	}
	return others
}

// unhealed is the problem that something stays damaged.
func unhealed(r vault.Report) error {
	err := damage(r)
	if err == nil {
		return nil
	}
	return problem.New(problem.Damage, "no tier that can be opened has what is named above; what is not named can be restored, and the next "+
		"backup writes anew what its sources still hold", "%w", err)
}

func (a *app) tellHealed(tier string, h vault.Healing) error {
	h.Damaged = append([]vault.Damage{}, h.Damaged...) // in JSON nothing damaged is an empty list
	points := verifiedPoints(h.Report)
	if a.json {
		return a.printJSON(healed{tier, h, points})
	}
	if err := a.tellVerifiedPoints(points); err != nil {
		return err
	}
	for _, d := range h.Found {
		if slices.ContainsFunc(h.Damaged, func(left vault.Damage) bool { return samePlace(left, d) }) {
			continue
		}
		d.Source = strings.TrimSpace(d.Point + " " + d.Source)
		if err := a.tellDamages("healed", []vault.Damage{d}); err != nil {
			return err
		}
	}
	return a.printf("tier %s: %s\n", tier, healedText(h))
}

func samePlace(a, b vault.Damage) bool {
	return a.Point == b.Point && a.Source == b.Source && a.Component == b.Component && a.File == b.File
}

// healedText sums up what was done.
func healedText(h vault.Healing) string {
	if len(h.Found)+len(h.Mended) == 0 {
		return "nothing is damaged"
	}
	var parts []string
	if h.Contents > 0 {
		var from []string
		for _, name := range slices.Sorted(maps.Keys(h.From)) {
			from = append(from, fmt.Sprintf("%d from %s", h.From[name], name))
		}
		parts = append(parts, fmt.Sprintf("%d pieces (%s) written anew and read back, %s", h.Contents, report.Size(h.Bytes), strings.Join(from, ", ")))
	}
	for _, m := range h.Mended {
		parts = append(parts, m)
	}
	return fmt.Sprintf("%d found damaged, %d left; %s", len(h.Found), len(h.Damaged), strings.Join(parts, "; "))
}
