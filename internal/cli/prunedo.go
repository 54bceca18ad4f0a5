package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/retention"
	"holdfast/internal/source/rbd"
	"holdfast/internal/tier"
	"holdfast/internal/vault"
)

// unanswered is how long prune waits for an answer: meanwhile it keeps others from the tier.
var unanswered = 10 * time.Minute

// mayPrune shows the plan and asks, if there is anything to ask about. What changed suddenly is asked about in another way, so that
// no habit answers it.
func (a *app) mayPrune(ctx context.Context, res *pruned, o pruneOptions) error {
	if res.Removed == 0 && len(res.Leftovers) == 0 {
		return nil
	}
	if o.confirm >= 0 && o.confirm != res.Removed {
		return problem.New(problem.Usage, "look at: holdfast prune "+res.Tier+" --dry-run", "%d points would leave, not %d", res.Removed, o.confirm)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unanswered,
		problem.New(problem.Interrupted, "run it again", "nobody answered for %v; nothing was changed", unanswered))
	defer cancel()
	if o.confirm < 0 && res.NeedsConfirmation {
		return a.askInDoubt(ctx, res)
	}
	if a.yes || o.confirm >= 0 {
		return nil
	}
	res.asked = true
	return a.confirm(ctx, a.planText(*res))
}

// askInDoubt wants the number of points from whoever has read the doubts.
func (a *app) askInDoubt(ctx context.Context, res *pruned) error {
	number := strconv.Itoa(res.Removed)
	hint := "if this is as it should be: holdfast prune " + res.Tier + " --confirm " + number
	if a.json || !a.env.IsTerminal(a.env.Stdin) {
		var texts string
		for _, d := range res.Doubts {
			texts += "; " + d.Text
		}
		return problem.New(problem.Failed, hint, "nothing was removed, %s points would leave, and somebody should look before that%s", number, texts)
	}
	res.asked = true
	fmt.Fprintf(a.env.Stderr, "%stype %s, the number of points, to go on: ", a.planText(*res), number)
	answer, err := readLine(ctx, a.env.Stdin)
	if err != nil {
		return err
	}
	if answer != number {
		return problem.New(problem.Usage, hint, "not confirmed; nothing was changed")
	}
	return nil
}

// carryOut removes what the plan lets go, remembers what it saw, and reclaims space.
func (a *app) carryOut(cfg *config.Config, n int, v *vault.Vault, lease *vault.Lease, res *pruned, o pruneOptions) error {
	ctx := lease.Context()
	var ids []string
	for _, d := range res.Decisions {
		if !d.Keep {
			ids = append(ids, d.Point)
		}
	}
	gone, err := lease.Remove(ids...)
	res.Removed = len(gone)
	if len(gone) > 0 {
		res.memory.removed(a.env.Now(), res.Plan, gone)
	}
	if err == nil && (len(res.Doubts) == 0 || len(ids) > 0) {
		res.memory.View = res.View
	}
	if keep := v.KeepNote(ctx, pruneNote, res.memory); err == nil {
		err = keep
	}
	if err != nil {
		return err
	}
	if len(res.Leftovers) > 0 {
		if res.Leftovers, err = a.leftovers(ctx, n, v, lease); err != nil {
			return err
		}
	}
	return a.reclaim(ctx, v, lease, res, o)
}

// leftover is what no point names and may go.
type leftover struct {
	Point  string `json:"point"` // that its run was to seal
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// leftovers finds what no point of a tier names and no run builds on; under a lease it removes that, source by source, except
// where a run of the source is on its way.
func (a *app) leftovers(ctx context.Context, n int, v *vault.Vault, lease *vault.Lease) ([]leftover, error) {
	all := []leftover{}
	orphans, err := v.Orphans(ctx)
	if err != nil || len(orphans) == 0 {
		return all, err
	}
	var sources []string
	for _, o := range orphans {
		if !slices.Contains(sources, o.Source) {
			sources = append(sources, o.Source)
		}
	}
	for _, source := range sources {
		some, err := a.leftoversOf(ctx, n, v, source, lease)
		switch {
		case problem.KindOf(err) == problem.Busy && err != nil:
			a.warn(fmt.Sprintf("what killed runs left of %s stays for now: %v", source, err))
		case err != nil:
			return all, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (a *app) leftoversOf(ctx context.Context, n int, v *vault.Vault, source string, lease *vault.Lease) (all []leftover, err error) {
	if lease != nil {
		unlock, err := lockLeftovers(n, v, source, lease)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	orphans, err := v.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	points, err := v.Points(ctx)
	if err != nil {
		return nil, err
	}
	gone, err := backup.Leftovers(ctx, source, points, orphans, n == 0 && source == rbd.SourceName)
	if err != nil {
		return nil, err
	}
	var sweep []vault.Orphan
	for _, g := range gone {
		all, sweep = append(all, leftover{g.Point, g.Source, g.Reason}), append(sweep, g.Orphan)
	}
	if lease == nil || len(sweep) == 0 {
		return all, nil
	}
	return all, v.Sweep(ctx, sweep...)
}

// lockLeftovers keeps those away who may be writing what looks left over: runs, and in the further tiers replications.
func lockLeftovers(n int, v *vault.Vault, source string, lease *vault.Lease) (unlock func(), err error) {
	if n == 0 {
		return lease.Lock(source)
	}
	return lease.LockEverywhere(tier.LockName)
}

// planText is the table of a plan and what is to be known of it.
func (a *app) planText(r pruned) string {
	text := report.Retention(r.Plan).String()
	for _, l := range r.Leftovers {
		text += fmt.Sprintf("%s of run %s: %s\n", l.Source, l.Point, l.Reason)
	}
	would := "are to be removed"
	if r.DryRun {
		would = "would leave"
	}
	text += fmt.Sprintf("tier %s: of %d points %d %s\n", r.Tier, len(r.Decisions), r.Plan.Removed(), would)
	if r.Short {
		text += fmt.Sprintf("tier %s has %s free of %s, its reserve is %.0f %%: the first tier takes no new images below it\n",
			r.Tier, report.Size(r.space.Free), report.Size(r.space.Capacity), 100*r.space.Reserve)
	}
	for _, d := range r.Doubts {
		text += "look before anything is removed: " + d.Text + "\n"
	}
	return text
}

func (a *app) tellPruned(results []pruned) error {
	if a.json && len(results) > 0 {
		return a.printJSON(results)
	}
	for i, r := range results {
		text := ""
		if i > 0 {
			text = "\n"
		}
		if !r.asked {
			text += a.planText(r)
		}
		if !r.DryRun {
			text += fmt.Sprintf("tier %s: %d points were removed, %d stay\n", r.Tier, r.Removed, len(r.Decisions)-r.Removed)
		}
		if err := a.printf("%s%s", text, r.Reclaim.text(r.Tier)); err != nil {
			return err
		}
	}
	return nil
}

// pruneNote names what prunes remember in the vault.
const pruneNote = "prune"

// pruneMemory is what prunes of a tier remember.
type pruneMemory struct {
	View    retention.View `json:"view"`
	Removed []removal      `json:"removed"` // since the last cycle of maintenance
	Alone   time.Time      `json:"alone"`   // when all space was last reclaimed at once
}

// removal is what one prune removed. Newest is when the youngest of the points was begun.
type removal struct {
	At     time.Time `json:"at"`
	Points int       `json:"points"`
	Bytes  int64     `json:"bytes"`
	Newest time.Time `json:"newest"`
}

func (m *pruneMemory) removed(now time.Time, plan retention.Plan, gone []string) {
	r := removal{At: now.UTC(), Points: len(gone)}
	for _, d := range plan.Decisions {
		if !slices.Contains(gone, d.Point) {
			continue
		}
		r.Bytes += d.Bytes
		if d.Started.After(r.Newest) {
			r.Newest = d.Started
		}
	}
	m.Removed = append(m.Removed, r)
}

// owed is about how much space waits to be reclaimed: what the last cycle found unused, and what was removed since.
func (m pruneMemory) owed(c vault.Cycles) (bytes int64) {
	if m.Alone.Before(c.Last) {
		bytes = c.Waiting
	}
	for _, r := range m.Removed {
		if r.At.After(c.Last) {
			bytes += r.Bytes
		}
	}
	return bytes
}
