package cli

import (
	"context"
	"errors"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// verifyPlan is how much a verification reads, and what is remembered of it.
type verifyPlan struct {
	opts    vault.VerifyOptions
	finding verify.Finding
	reads   verify.Reads
	packs   []verify.Pack // of all points; nil when only one is verified
	at      time.Time
}

// planVerify chooses what is read: what the operator says; else of one point a share at random, and of all points what was not read for
// the longest.
func (a *app) planVerify(ctx context.Context, cfg *config.Config, v *vault.Vault, o verifyOptions) (p verifyPlan, err error) {
	p = verifyPlan{opts: depth(o.percent), at: a.env.Now().UTC(), reads: verify.Reads{Dir: cfg.State, Tier: v.Location().Tier}}
	p.finding = verify.Finding{At: p.at, Depth: verify.Sample, Percent: o.percent}
	switch p.opts.Depth {
	case vault.Structure:
		p.finding.Depth = verify.Quick
	case vault.Full:
		p.finding.Depth = verify.Full
	}
	if !o.all {
		return p, nil
	}
	if p.packs, err = packsOf(ctx, v); err != nil || o.given {
		return p, err
	}
	due, percent, err := p.reads.Due(p.packs, p.at, cfg.Promises.Read)
	if err != nil {
		a.warn(err.Error() + "; a share is read that is taken at random")
		return p, nil
	}
	p.finding.Percent = percent
	p.opts.Due = func(pack string) bool { return due[pack] }
	return p, nil
}

// packsOf lists the packs of a vault.
func packsOf(ctx context.Context, v *vault.Vault) ([]verify.Pack, error) {
	found, err := v.Packs(ctx)
	packs := make([]verify.Pack, len(found))
	for i, p := range found {
		packs[i] = verify.Pack(p)
	}
	return packs, err
}

// depth is how far a share of the data makes a verification go.
func depth(percent float64) vault.VerifyOptions {
	switch percent {
	case 0:
		return vault.VerifyOptions{Depth: vault.Structure}
	case 100:
		return vault.VerifyOptions{Depth: vault.Full}
	}
	return vault.VerifyOptions{Depth: vault.Sample, Percent: percent}
}

// remember notes what was found of each point, and which packs were read. What was found of the past tells nothing of what is.
func (a *app) remember(cfg *config.Config, r vault.Report, p verifyPlan) error {
	if a.at != "" {
		return nil
	}
	found := verify.Findings{}
	for _, e := range r.Each {
		f := p.finding
		f.Damaged = e.Damaged
		found[e.Point] = f
	}
	err := verifications(cfg, a.tier).AddAll(found)
	switch {
	case p.packs == nil:
	case p.opts.Depth == vault.Full:
		err = errors.Join(err, p.reads.Done(p.packs, p.at, func(string) bool { return true }))
	case p.opts.Due != nil:
		err = errors.Join(err, p.reads.Done(p.packs, p.at, p.opts.Due))
	}
	return err
}
