package cli

import (
	"context"
	"slices"

	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/retention"
	"holdfast/internal/source"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
)

// short reports whether a tier has less free space than its reserve.
func short(s *retention.Space) bool {
	return s != nil && float64(s.Free) < s.Reserve*float64(s.Capacity)
}

// withRoom sets a source up, unless it takes the space that the tier holds back for what is small and matters most.
func (a *app) withRoom(ctx context.Context, from setup, name string) (source.Source, error) {
	if name == rbd.SourceName && from.v != nil {
		if err := belowReserve(ctx, from.v, from.cfg.Tiers[0]); err != nil {
			return nil, err
		}
	}
	return a.source(ctx, from, name)
}

// noRoomFor refuses points of images alone while a tier has less than its reserve, and no others.
func noRoomFor(v *vault.Vault, t config.Tier) func(context.Context, vault.Sealed) error {
	return func(ctx context.Context, p vault.Sealed) error {
		if len(p.Sources) == 0 || slices.ContainsFunc(p.Sources, func(source string) bool { return source != rbd.SourceName }) {
			return nil
		}
		return belowReserve(ctx, v, t)
	}
}

// belowReserve is the problem of a tier that has less free space than its reserve.
func belowReserve(ctx context.Context, v *vault.Vault, t config.Tier) error {
	free, capacity, err := v.Space(ctx)
	if err != nil {
		return err
	}
	if capacity == 0 || !short(&retention.Space{Free: free, Capacity: capacity, Reserve: t.Reserve}) {
		return nil
	}
	return problem.New(problem.Failed, "holdfast prune "+t.Name+" tells what can leave; or give the tier more space, or a smaller reserve in holdfast.yml",
		"tier %s has %s free of %s, less than its reserve of %.0f %%: images are refused so that all else can go on", t.Name,
		report.Size(free), report.Size(capacity), 100*t.Reserve)
}
