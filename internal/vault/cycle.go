package vault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/indexblob"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/maintenancestats"
	"github.com/kopia/kopia/snapshot/snapshotgc"

	"holdfast/internal/problem"
)

// sparse is how much of a pack must be in use for it to stay as it is.
const sparse = 0.6

// cycle is a full cycle of maintenance, of kopia's own steps with kopia's own times of safety, in another order: what is marked as
// unused is dropped, and packs that are free by that removed, before any are rewritten, and packs with marked contents wait until
// those are dropped. kopia rewrites marked contents too, which makes their marks as good as new, so that they stay for as long as there
// is something to rewrite.
type cycle struct {
	w      repo.DirectRepositoryWriter
	safety maintenance.SafetyParameters
	began  time.Time // by the store's clock
}

func (c cycle) run(ctx context.Context) error {
	if err := snapshotgc.Run(ctx, c.w, true, c.safety, c.began); err != nil {
		return fmt.Errorf("find what is unused: %w", err)
	}
	for _, step := range []struct {
		task maintenance.TaskType
		run  func(context.Context) (maintenancestats.Kind, error)
	}{
		{maintenance.TaskDropDeletedContentsFull, c.drop},
		{maintenance.TaskDeleteOrphanedBlobsFull, c.removePacks},
		{maintenance.TaskRewriteContentsFull, c.rewrite},
		{maintenance.TaskDeleteOrphanedBlobsFull, c.removeRewritten},
		{maintenance.TaskCleanupLogs, c.removeLogs},
	} {
		if err := c.step(ctx, step.task, step.run); err != nil {
			return err
		}
	}
	return c.compact(ctx)
}

// errNotDue ends a step that has nothing to do, or not yet.
var errNotDue = fmt.Errorf("not due")

// step does a step and has kopia note it, if it did anything.
func (c cycle) step(ctx context.Context, task maintenance.TaskType, run func(context.Context) (maintenancestats.Kind, error)) error {
	began := c.w.Time()
	stats, err := run(ctx)
	if err == errNotDue {
		return nil
	}
	s, serr := maintenance.GetSchedule(ctx, c.w)
	if serr != nil {
		return serr
	}
	r := maintenance.RunInfo{Start: began, End: c.w.Time(), Success: err == nil}
	if err != nil {
		r.Error = err.Error()
		err = fmt.Errorf("%s: %w", task, err)
	} else if x, xerr := maintenancestats.BuildExtra(stats); xerr == nil {
		r.Extra = append(r.Extra, x)
	}
	s.ReportRun(task, r)
	if serr := maintenance.SetSchedule(ctx, c.w, s); err == nil {
		err = serr
	}
	return err
}

// ran returns when a task was done well, the newest first.
func (c cycle) ran(ctx context.Context, task maintenance.TaskType) (good []maintenance.RunInfo, err error) {
	s, err := maintenance.GetSchedule(ctx, c.w)
	if err != nil {
		return nil, err
	}
	good = slices.DeleteFunc(s.Runs[task], func(r maintenance.RunInfo) bool { return !r.Success })
	slices.SortFunc(good, func(a, b maintenance.RunInfo) int { return b.Start.Compare(a.Start) })
	return good, nil
}

// drop forgets contents that were marked before the last cycle but this one, which has unmarked what was taken into use meanwhile.
func (c cycle) drop(ctx context.Context) (maintenancestats.Kind, error) {
	before := c.w.Time()
	if c.safety.RequireTwoGCCycles {
		runs, err := c.ran(ctx, maintenance.TaskSnapshotGarbageCollection)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(runs, func(r maintenance.RunInfo) bool {
			return runs[0].Start.Sub(r.End) > c.safety.MarginBetweenSnapshotGC
		})
		if i < 0 {
			return nil, errNotDue
		}
		before = runs[i].Start.Add(-c.safety.DropContentFromIndexExtraMargin)
	}
	stats, err := c.w.ContentManager().CompactIndexes(ctx, indexblob.CompactOptions{
		AllIndexes: true, DropDeletedBefore: before, DisableEventualConsistencySafety: c.safety.DisableEventualConsistencySafety,
	})
	if stats == nil { // it would be an interface that is not nil
		return nil, err
	}
	return stats, err
}

// rewrite gathers what is in use of packs of which little is.
func (c cycle) rewrite(ctx context.Context) (maintenancestats.Kind, error) {
	ids, err := c.scattered(ctx)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errNotDue
	}
	stats, err := maintenance.RewriteContents(ctx, c.w, &maintenance.RewriteContentsOptions{ContentIDs: ids}, c.safety)
	if err != nil && ctx.Err() == nil {
		err = problem.New(problem.Failed, "holdfast verify --all --full tells what cannot be read, and with --heal mends it",
			"packs that are mostly waste cannot be gathered, though what no point needs was removed: %w", err)
	}
	if stats == nil {
		return nil, err
	}
	return stats, err
}

// scattered are the contents of packs that are to be rewritten: where there are two of a kind at least, or one that is mostly
// waste, since else it would only be copied. Packs with marked contents, or young ones, wait.
func (c cycle) scattered(ctx context.Context) (ids []content.ID, err error) {
	limits, err := c.w.ContentReader().ContentFormat().GetMutableParameters(ctx)
	if err != nil {
		return nil, err
	}
	packs := map[blob.ID][]content.PackInfo{} // by the letter that their names begin with
	every := content.IteratePackOptions{IncludePacksWithOnlyDeletedContent: true, IncludeContentInfos: true}
	err = c.w.ContentReader().IteratePacks(ctx, every, func(p content.PackInfo) error {
		waits := slices.ContainsFunc(p.ContentInfos, func(i content.Info) bool {
			return i.Deleted || c.w.Time().Sub(i.Timestamp()) < c.safety.RewriteMinAge
		})
		if float64(p.TotalSize) < sparse*float64(limits.MaxPackSize) && !waits {
			packs[p.PackID[:1]] = append(packs[p.PackID[:1]], p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range packs {
		if len(kind) == 1 {
			m, err := c.w.BlobReader().GetMetadata(ctx, kind[0].PackID)
			if err != nil || m.Length < 2*kind[0].TotalSize {
				continue
			}
		}
		for _, p := range kind {
			for _, i := range p.ContentInfos {
				ids = append(ids, i.ContentID)
			}
		}
	}
	return ids, nil
}

// removePacks removes packs of which nothing is in use, once everybody has had the time to see where contents were rewritten to.
func (c cycle) removePacks(ctx context.Context) (maintenancestats.Kind, error) {
	rewritten, err := c.ran(ctx, maintenance.TaskRewriteContentsFull)
	if err != nil {
		return nil, err
	}
	if len(rewritten) > 0 && c.w.Time().Sub(rewritten[0].End) < c.safety.MinRewriteToOrphanDeletionDelay {
		return nil, errNotDue
	}
	stats, err := maintenance.DeleteUnreferencedPacks(ctx, c.w, maintenance.DeleteUnreferencedPacksOptions{NotAfterTime: c.began}, c.safety)
	if stats == nil {
		return nil, err
	}
	return stats, err
}

// removeRewritten removes at once what was rewritten, if nobody else can be reading it.
func (c cycle) removeRewritten(ctx context.Context) (maintenancestats.Kind, error) {
	if c.safety.MinRewriteToOrphanDeletionDelay > 0 {
		return nil, errNotDue
	}
	return c.removePacks(ctx)
}

func (c cycle) removeLogs(ctx context.Context) (maintenancestats.Kind, error) {
	stats, err := maintenance.CleanupLogs(ctx, c.w, maintenance.LogRetentionOptions{}.OrDefault())
	if stats == nil {
		return nil, err
	}
	return stats, err
}

// compact gathers the indexes of past days, and removes those that were gathered long enough ago.
func (c cycle) compact(ctx context.Context) error {
	epochs, ok, err := c.w.ContentManager().EpochManager(ctx)
	if err != nil || !ok {
		return err
	}
	if _, err := epochs.MaybeCompactSingleEpoch(ctx); err != nil {
		return fmt.Errorf("compact indexes: %w", err)
	}
	if _, err := epochs.MaybeAdvanceWriteEpoch(ctx); err != nil {
		return fmt.Errorf("begin a new epoch of indexes: %w", err)
	}
	if _, err := epochs.MaybeGenerateRangeCheckpoint(ctx); err != nil {
		return fmt.Errorf("compact a range of indexes: %w", err)
	}
	if _, err := epochs.CleanupMarkers(ctx); err != nil {
		return fmt.Errorf("remove marks of epochs: %w", err)
	}
	if _, err := epochs.CleanupSupersededIndexes(ctx); err != nil {
		return fmt.Errorf("remove compacted indexes: %w", err)
	}
	return nil
}
