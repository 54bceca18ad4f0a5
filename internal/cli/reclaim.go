package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/report"
	"holdfast/internal/vault"
)

// reclaimable tells of the space of what was removed, about, and when it is back at the earliest.
type reclaimable struct {
	Waiting   int64      `json:"waiting"` // bytes
	Freed     int64      `json:"freed"`   // bytes, by this prune
	Back      *time.Time `json:"back,omitempty"`
	Cycles    int        `json:"cycles,omitempty"` // that it takes
	Ran       bool       `json:"ran"`              // a cycle was done
	Postponed string     `json:"postponed,omitempty"`
	Locked    bool       `json:"locked"` // the store keeps what is removed until its lock ends
}

// reclaimable is what waits in a vault, and what the plan would add.
func (a *app) reclaimable(ctx context.Context, v *vault.Vault, res *pruned) (r reclaimable, err error) {
	cycles, err := v.Cycles(ctx)
	if err != nil {
		return r, err
	}
	is, err := v.Immutable(ctx)
	if err != nil {
		return r, err
	}
	r.Locked = is.Period > 0
	r.Waiting = res.memory.owed(cycles)
	var newest time.Time
	for _, d := range res.Decisions {
		if d.Keep || !res.DryRun {
			continue
		}
		r.Waiting += d.Bytes
		if d.Started.After(newest) {
			newest = d.Started
		}
	}
	for _, m := range res.memory.Removed {
		if m.Newest.After(newest) {
			newest = m.Newest
		}
	}
	if r.Waiting > 0 {
		at, n := cycles.Back(newest, a.env.Now())
		at = at.UTC()
		r.Back, r.Cycles = &at, n
	}
	return r, nil
}

// reclaim does a cycle of maintenance if one is due, and says what is still to come.
func (a *app) reclaim(ctx context.Context, v *vault.Vault, lease *vault.Lease, res *pruned, o pruneOptions) error {
	cycles, err := v.Cycles(ctx)
	if err != nil {
		return err
	}
	var done vault.Maintained
	if due := cycles.Due(res.memory.owed(cycles) > 0 || len(res.Leftovers) > 0); o.exclusive || !a.env.Now().Before(due) {
		if done, err = v.Maintain(ctx, vault.MaintainOptions{Full: true, Lease: lease}); err != nil {
			return err
		}
		if err := a.rememberCycle(ctx, v, res, o); err != nil {
			return err
		}
	}
	if res.Reclaim, err = a.reclaimable(ctx, v, res); err != nil {
		return err
	}
	res.Reclaim.Freed, res.Reclaim.Ran, res.Reclaim.Postponed = done.Freed, done.Full && done.Postponed == "", done.Postponed
	return nil
}

// rememberCycle forgets removals whose space the cycle has counted.
func (a *app) rememberCycle(ctx context.Context, v *vault.Vault, res *pruned, o pruneOptions) error {
	cycles, err := v.Cycles(ctx)
	if err != nil {
		return err
	}
	m := &res.memory
	m.Removed = slices.DeleteFunc(m.Removed, func(r removal) bool { return r.At.Before(cycles.Last) })
	if o.exclusive {
		m.Alone = cycles.Last
	}
	return v.KeepNote(ctx, pruneNote, *m)
}

func (r reclaimable) text(tier string) (text string) {
	freed, back := "are free again", "back"
	if r.Locked {
		freed, back = "are removed, and free again once their locks have ended and a lifecycle rule of the bucket removes old versions", "removed"
	}
	if r.Freed > 0 {
		text += fmt.Sprintf("tier %s: %s %s\n", tier, report.Size(r.Freed), freed)
	}
	if r.Postponed != "" {
		text += fmt.Sprintf("tier %s: no space is reclaimed while a run is on its way that began before the last cycle: %s\n", tier, r.Postponed)
	}
	if r.Waiting > 0 && r.Back != nil {
		text += fmt.Sprintf("tier %s: about %s wait to be reclaimed and are %s at the earliest on %s, after %d cycles of prune, 4 hours apart; at once with --exclusive\n",
			tier, report.Size(r.Waiting), back, r.Back.Format(time.RFC3339), r.Cycles)
	}
	return text
}
