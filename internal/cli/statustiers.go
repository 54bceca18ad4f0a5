package cli

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/problem"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// tierStates looks at all tiers at once. first is told of the open vault of the first.
func (a *app) tierStates(ctx context.Context, cfg *config.Config, first func(*vault.Vault) error) ([]coverage.Tier, error) {
	states, errs := make([]coverage.Tier, len(cfg.Tiers)), make([]error, len(cfg.Tiers))
	var wg sync.WaitGroup
	for i, t := range cfg.Tiers {
		look := func() {
			states[i], errs[i] = a.tierState(ctx, cfg, t, func(v *vault.Vault) error {
				if i > 0 {
					return nil
				}
				return first(v)
			})
		}
		if t.Passphrase.IsZero() { // a person is asked one thing at a time
			look()
			continue
		}
		wg.Go(look)
	}
	wg.Wait()
	var unreached []error
	for i, err := range errs {
		if err != nil {
			states[i].Error = oneLine(err.Error())
			unreached = append(unreached, err)
		}
	}
	if len(unreached) == len(cfg.Tiers) {
		return states, worst(unreached)
	}
	return states, ctx.Err()
}

func (a *app) tierState(ctx context.Context, cfg *config.Config, t config.Tier, look func(*vault.Vault) error) (s coverage.Tier, err error) {
	medium, own := mediumOf(cfg, t)
	s = coverage.Tier{Tier: t.Name, URL: t.URL, Medium: medium, Own: own, Offsite: slices.Contains(cfg.Promises.Offsite, t.Name), Locks: t.Lock.Days > 0}
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return s, err
	}
	defer v.Close(context.WithoutCancel(ctx))
	if s.Held, err = v.Points(ctx); err != nil {
		return s, err
	}
	s.Points = len(s.Held)
	if s.Free, s.Capacity, err = v.Space(ctx); err != nil {
		return s, err
	}
	s.Found = a.findings(cfg, t.Name)
	if at, err := (verify.Reads{Dir: cfg.State, Tier: t.Name}).Last(); err == nil && !at.IsZero() {
		s.Verified = &at
	}
	s.LockedUntil = a.lockedUntil(ctx, v)
	if s.Drills, err = v.Drills(ctx); err != nil {
		return s, err
	}
	return s, look(v)
}

// cephMagic is the type of a file system that is CephFS.
const cephMagic = 0x00c36400

// mediumOf names the storage system that a tier lies on, and reports whether it is the cloud's own.
func mediumOf(cfg *config.Config, t config.Tier) (medium string, own bool) {
	isOwn := func(name string) bool {
		return slices.ContainsFunc(cfg.Ceph, func(c config.Ceph) bool { return c.Name == name })
	}
	if m := cfg.Promises.Media[t.Name]; m != "" {
		return m, isOwn(m)
	}
	if name := clusterOf(cfg, t); name != "" {
		return name, true
	}
	place := t.URL
	if t.S3 != nil && t.S3.Endpoint != "" { // all buckets of a store are one medium
		place = t.S3.Endpoint
	}
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "file" {
		return "store " + u.Hostname(), false
	}
	for dir := u.Path; ; dir = filepath.Dir(dir) {
		var at syscall.Stat_t
		if err := syscall.Stat(dir, &at); errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		var fsys unix.Statfs_t
		if unix.Statfs(dir, &fsys) == nil && fsys.Type == cephMagic && len(cfg.Ceph) > 0 {
			return cfg.Ceph[0].Name, true
		}
		return "device " + strconv.FormatUint(at.Dev, 10), false
	}
}

// worstBroken is the problem that broken promises make, which were told: damage before what cannot be reached before the rest.
func worstBroken(all []coverage.Broken) error {
	kinds := map[string]problem.Kind{"damage": problem.Damage, "tier": problem.Unreachable}
	for _, promise := range []string{"damage", "tier"} {
		if slices.ContainsFunc(all, func(b coverage.Broken) bool { return b.Promise == promise }) {
			return quietly(kinds[promise])
		}
	}
	if len(all) > 0 {
		return quietly(problem.Failed)
	}
	return nil
}
