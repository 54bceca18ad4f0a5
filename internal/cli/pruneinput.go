package cli

import (
	"context"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/retention"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// tierInput gathers what is known of the points in a tier, and what earlier prunes of it remember.
func (a *app) tierInput(ctx context.Context, cfg *config.Config, n int, v *vault.Vault) (in retention.Input, m pruneMemory, err error) {
	points, err := v.Points(ctx)
	if err != nil {
		return in, m, err
	}
	if in, m, err = a.rulesOf(ctx, cfg, n, v); err != nil {
		return in, m, err
	}
	sizes, err := v.Sizes(ctx)
	if err != nil {
		return in, m, err
	}
	if err := v.AskForPacks(ctx); err != nil {
		return in, m, err
	}
	doubted, err := v.Doubted(ctx)
	if err != nil {
		return in, m, err
	}
	in.Points = heldPoints(points, a.findings(cfg, cfg.Tiers[n].Name), doubted, sizes)
	if in.Space, err = a.spaceOf(ctx, cfg.Tiers[n], v, m); err != nil {
		return in, m, err
	}
	if n+1 < len(cfg.Tiers) {
		in.Next = a.nextTier(ctx, cfg, n+1, v)
	}
	return in, m, ctx.Err()
}

// rulesOf is what of an input does not depend on the points: the rules of a tier, its holds, and what the last prune saw.
func (a *app) rulesOf(ctx context.Context, cfg *config.Config, n int, v *vault.Vault) (in retention.Input, m pruneMemory, err error) {
	t := cfg.Tiers[n]
	in = retention.Input{Tier: t.Name, Keep: t.Keep, Last: cfg.Tiers[len(cfg.Tiers)-1].Keep, Now: a.env.Now()}
	if in.Holds, err = v.Holds(ctx); err != nil {
		return in, m, err
	}
	switch found, err := v.Note(ctx, pruneNote, &m); {
	case problem.KindOf(err) == problem.Damage:
		in.ViewLost, m = true, pruneMemory{}
	case err != nil:
		return in, m, err
	case found:
		in.View = &m.View
	}
	return in, m, nil
}

// heldPoints joins what is known of each point: whether a verification on this host found it damaged, or the vault doubts it, whichever
// host found that, and what it holds.
func heldPoints(points []point.Point, found verify.Findings, doubted map[string]bool, sizes map[string]map[string]int64) (all []retention.Held) {
	for _, p := range points {
		all = append(all, retention.Held{Point: p, Damaged: found[p.ID].Damaged > 0 || doubted[p.ID], Bytes: sizes[p.ID]})
	}
	return all
}

// spaceOf is the room of a tier whose place has bounds, else nil.
func (a *app) spaceOf(ctx context.Context, t config.Tier, v *vault.Vault, m pruneMemory) (*retention.Space, error) {
	free, capacity, err := v.Space(ctx)
	if err != nil || capacity == 0 {
		return nil, err
	}
	cycles, err := v.Cycles(ctx)
	if err != nil {
		return nil, err
	}
	return &retention.Space{Free: free, Capacity: capacity, Owed: m.owed(cycles), Reserve: t.Reserve}, nil
}

// nextTier asks the next tier what it has of the points in v, and what of them its own rules do not want. Of one that cannot be
// asked nothing is known, so that nothing leaves that it should have.
func (a *app) nextTier(ctx context.Context, cfg *config.Config, n int, v *vault.Vault) *retention.Next {
	next := &retention.Next{Tier: cfg.Tiers[n].Name}
	err := func() error {
		to, err := a.openVault(ctx, cfg, cfg.Tiers[n])
		if err != nil {
			return err
		}
		defer to.Close(context.WithoutCancel(ctx))
		if err := to.AskForPacks(ctx); err != nil {
			return err
		}
		copies, err := v.Copies(ctx, to)
		if err != nil {
			return err
		}
		left, err := a.unwanted(ctx, cfg, cfg.Tiers[n], v, to)
		if err != nil {
			return err
		}
		if err := a.spare(ctx, cfg, cfg.Tiers[n+1:], v, left, true); err != nil {
			a.warn(err.Error())
			clear(left)
		}
		next.Verified, next.Left = map[string]bool{}, map[string]bool{}
		found := a.findings(cfg, cfg.Tiers[n].Name)
		for id, whole := range copies {
			next.Verified[id] = whole && found[id].Damaged == 0
		}
		for id := range left {
			next.Left[id] = true
		}
		return nil
	}()
	if err != nil && ctx.Err() == nil {
		a.warn(fmt.Sprintf("tier %s cannot be asked what it has, so nothing leaves that it should have: %v", next.Tier, err))
	}
	return next
}

// unwanted returns which points of one vault the tier of another would let go at once, and why, by what it would hold if it had
// them all.
func (a *app) unwanted(ctx context.Context, cfg *config.Config, t config.Tier, from, to *vault.Vault) (map[string]string, error) {
	numbers, err := chosenTiers(cfg, t.Name)
	if err != nil {
		return nil, err
	}
	var in retention.Input
	var holds map[string]point.Hold
	var points []point.Point
	var known, doubted map[string]bool
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { in, _, err = a.rulesOf(gctx, cfg, numbers[0], to); return err })
	g.Go(func() (err error) { holds, err = from.Holds(gctx); return err })
	g.Go(func() (err error) { doubted, err = to.Doubted(vault.Listed(gctx)); return err })
	g.Go(func() (err error) { points, known, err = union(vault.Listed(gctx), to, from); return err }) // both were compared just now
	if err := g.Wait(); err != nil {
		return nil, err
	}
	maps.DeleteFunc(holds, func(_ string, h point.Hold) bool { return !h.Spreads(t.Name) })
	maps.Copy(in.Holds, holds)
	in.Points = heldPoints(points, a.findings(cfg, t.Name), doubted, nil)
	plan, err := retention.Decide(in)
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, d := range plan.Decisions {
		if !d.Keep && !known[d.Point] {
			why[d.Point] = d.Reasons[0].Text
		}
	}
	return why, nil
}

// spare takes out of what a tier does not want of a vault that which tiers after it want and lack: it reaches them by way of that tier.
// Who would remove what is left has them asked for their packs.
func (a *app) spare(ctx context.Context, cfg *config.Config, later []config.Tier, from *vault.Vault, left map[string]string, ask bool) error {
	for _, t := range later {
		if len(left) == 0 || t.Name == from.Location().Tier {
			continue
		}
		if err := a.spareFor(ctx, cfg, t, from, left, ask); err != nil {
			return fmt.Errorf("tier %s cannot be asked what it wants of tier %s: %w", t.Name, from.Location().Tier, err)
		}
	}
	return nil
}

func (a *app) spareFor(ctx context.Context, cfg *config.Config, t config.Tier, from *vault.Vault, left map[string]string, ask bool) error {
	to, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return err
	}
	defer to.Close(context.WithoutCancel(ctx))
	if ask {
		if err := to.AskForPacks(ctx); err != nil {
			return err
		}
	}
	has, err := from.Copies(ctx, to)
	if err != nil {
		return err
	}
	unwanted, err := a.unwanted(ctx, cfg, t, from, to)
	if err != nil {
		return err
	}
	maps.DeleteFunc(left, func(id, _ string) bool { return !has[id] && unwanted[id] == "" })
	return nil
}

// union returns the points of two vaults, each once, and which of them the first one has.
func union(ctx context.Context, first, second *vault.Vault) (points []point.Point, known map[string]bool, err error) {
	var more []point.Point
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { points, err = first.Points(ctx); return err })
	g.Go(func() (err error) { more, err = second.Points(ctx); return err })
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	known = map[string]bool{}
	for _, p := range points {
		known[p.ID] = true
	}
	for _, p := range more {
		if !known[p.ID] {
			points = append(points, p)
		}
	}
	return points, known, nil
}

// keepReasons tells for each point of the vault that is read why it stays in its tier, without asking other tiers.
func (a *app) keepReasons(ctx context.Context, cfg *config.Config, v *vault.Vault, points []point.Point) map[string]string {
	why := map[string]string{}
	err := func() error {
		numbers, err := chosenTiers(cfg, v.Location().Tier)
		if err != nil {
			return err
		}
		in, _, err := a.rulesOf(ctx, cfg, numbers[0], v)
		if err != nil {
			return err
		}
		in.Points = heldPoints(points, a.findings(cfg, v.Location().Tier), nil, nil) // what is in doubt takes long to find
		plan, err := retention.Decide(in)
		for _, d := range plan.Decisions {
			why[d.Point] = "until the next prune: " + d.Reasons[0].Text
			if d.Keep {
				why[d.Point] = d.Reasons[0].Text
			}
		}
		return err
	}()
	if err != nil {
		a.warn(err.Error())
	}
	return why
}
