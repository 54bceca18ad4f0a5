package cli

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// checkLocks is doctor's word on whether somebody who has the tier's keys can destroy what it holds.
func (a *app) checkLocks(ctx context.Context, t config.Tier, v *vault.Vault) []source.Check {
	if t.S3 == nil {
		return []source.Check{passed("lock", "none: whoever can write to this place can delete what is in it; keep another tier in a bucket with lock:")}
	}
	is, err := v.Immutable(ctx)
	switch want := immutable(t); {
	case err != nil:
		return []source.Check{failed("lock", err)}
	case is != want:
		return []source.Check{{
			Name: "lock", Status: source.Fail, Detail: fmt.Sprintf("the vault locks %s, holdfast.yml says %s", lockText(is), lockText(want)), Mend: "holdfast init",
		}}
	case is.Period == 0:
		return []source.Check{passed("lock", "none: whoever has the tier's keys can delete what is in it; lock: makes a bucket refuse that"), checkHoards(ctx, v)}
	}
	return []source.Check{a.checkProbe(ctx, is, v), a.checkLocked(ctx, t, is, v), checkWeaker(ctx, is, v), checkHoards(ctx, v)}
}

// checkHoards warns of a bucket whose space prune can never give back.
func checkHoards(ctx context.Context, v *vault.Vault) source.Check {
	hoards, err := v.Hoards(ctx)
	switch {
	case err != nil: // keys need not be allowed to ask that
		return passed("old versions", "whether the bucket removes them is not known: %v", err)
	case hoards:
		return source.Check{
			Name: "old versions", Status: source.Warn, Detail: "the bucket keeps versions of what is removed, and no rule of it ever removes them: prune gives no space back",
			Mend: "give the bucket a lifecycle rule with NoncurrentVersionExpiration: docs/user/immutability.md",
		}
	}
	return passed("old versions", "none are kept for good")
}

func lockText(i vault.Immutable) string {
	if i.Period == 0 {
		return "nothing"
	}
	return fmt.Sprintf("in mode %s for %d days", i.Mode, int(i.Period/config.Day))
}

// immutable is how a tier is to lock what it stores.
func immutable(t config.Tier) vault.Immutable {
	return vault.Immutable{Mode: t.Lock.Mode, Period: time.Duration(t.Lock.Days) * config.Day}
}

// checkProbe tries to remove a locked object, with and without its version.
func (a *app) checkProbe(ctx context.Context, is vault.Immutable, v *vault.Vault) source.Check {
	p, err := v.Probe(ctx)
	switch {
	case err != nil:
		return failed("lock", err)
	case p.Removed:
		return source.Check{Name: "lock", Status: source.Fail, Detail: "a locked object could be removed by its version: the store does not lock", Mend: "keep the tier in a store that honours object lock"}
	case !p.Hidden:
		return source.Check{Name: "lock", Status: source.Fail, Detail: "a deleted object is gone: the bucket keeps no versions", Mend: "turn versioning on: aws s3api put-bucket-versioning"}
	case p.Bypassed:
		return source.Check{
			Name: "lock", Status: source.Warn, Detail: "the tier's own keys can lift the lock and remove what is locked",
			Mend: "use lock: {mode: compliance}, or keys without s3:BypassGovernanceRetention that do not own the bucket",
		}
	}
	return passed("lock", "%s; a locked object could be hidden, and not be removed", lockText(is))
}

// checkWeaker warns of locks that somebody may lift although the vault's may not be.
func checkWeaker(ctx context.Context, is vault.Immutable, v *vault.Vault) source.Check {
	n, err := v.WeakerLocks(ctx)
	switch {
	case err != nil:
		return failed("lock mode", err)
	case n == 0:
		return passed("lock mode", "%s, all that was renewed", is.Mode)
	}
	return source.Check{
		Name: "lock mode", Status: source.Warn, Detail: fmt.Sprintf("%d objects are locked in mode governance: from before lock: said %s, or by somebody else", n, is.Mode),
		Mend: "see that nobody has s3:BypassGovernanceRetention on the bucket, or begin the tier anew in a new one",
	}
}

// checkLocked tells until when everything is locked, and warns when that is sooner than it should be.
func (a *app) checkLocked(ctx context.Context, t config.Tier, is vault.Immutable, v *vault.Vault) source.Check {
	until, err := v.LockedUntil(ctx)
	if err != nil {
		return failed("locked until", err)
	}
	c := passed("locked until", "%s UTC, all of it", until.UTC().Format(dateTime))
	if left := until.Sub(a.env.Now()); left < is.Period/2 {
		c.Status, c.Mend = source.Warn, "holdfast replicate "+t.Name+" locks it anew"
		if until.IsZero() {
			c.Detail = "some of it is not locked"
		}
	}
	return c
}
