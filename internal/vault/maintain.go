package vault

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"

	"holdfast/internal/problem"
)

// leftoverAge is how old a temporary file must be before no living writer can own it.
const leftoverAge = 24 * time.Hour

// MaintainOptions choose how much maintenance is done.
type MaintainOptions struct {
	// Full frees the space of deleted points. Under a lease that is alone it does so at once; otherwise content by content in
	// several cycles, so that no writer beside it can be hurt: see CycleApart.
	Full bool
	// Lease of the vault's owner; nil takes one for so long.
	Lease *Lease
}

// Maintained says what maintenance did.
type Maintained struct {
	Full bool `json:"full"`
	// Postponed is why a full cycle was not done: somebody writes since before the last one, and may count on what that marked.
	Postponed string `json:"postponed,omitempty"`
	// Waiting are the bytes of contents that nothing refers to and that were in the vault when the cycle began, Freed those of
	// the packs that it removed.
	Waiting int64 `json:"waiting"`
	Freed   int64 `json:"freed"`
}

// Maintain compacts indexes, removes what killed writers left, and with Full frees the space of deleted points.
func (v *Vault) Maintain(ctx context.Context, opts MaintainOptions) (done Maintained, err error) {
	l := opts.Lease
	if l == nil {
		if l, err = v.Own(ctx, "maintenance", false); err != nil {
			return done, problem.Wrap(err, "maintain vault", v.loc.URL)
		}
		defer l.Release()
	}
	if done, err = l.maintain(opts.Full); err == nil {
		_, err = v.sweepLeftovers()
	}
	if err != nil {
		return done, problem.Wrap(l.failure(err), "maintain vault", v.loc.URL)
	}
	return done, nil
}

func (l *Lease) maintain(full bool) (done Maintained, err error) {
	if os.Getenv(passOver) != "" {
		return done, problem.New(problem.Usage, "unset it", "with %s set nobody can tell what is in use", passOver)
	}
	if err := l.say(reclaiming); err != nil {
		return done, err
	}
	before, err := l.v.Cycles(l.ctx)
	if err != nil {
		return done, err
	}
	if full {
		if done.Postponed, err = l.postponed(before.Last); err != nil || done.Postponed != "" {
			return done, err
		}
		if err := l.v.nameRecorded(l.ctx, sealing); err != nil {
			return done, err
		}
	}
	if err := l.run(full); err != nil {
		return done, err
	}
	after, err := l.v.Cycles(l.ctx)
	done = Maintained{Full: full, Waiting: after.Waiting, Freed: after.freedSince(before)}
	if l.kind == leaseAlone {
		done.Waiting = 0
	}
	return done, err
}

// run is one cycle. It stands on the lease: kopia's own lock is one of this machine.
func (l *Lease) run(full bool) error {
	safety := maintenance.SafetyFull
	if full && l.kind == leaseAlone {
		safety = maintenance.SafetyNone
	}
	return l.v.write(l.ctx, "maintenance", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		if !full {
			return snapshotmaintenance.Run(ctx, w, maintenance.ModeQuick, true, safety)
		}
		return maintenance.RunExclusive(ctx, w, maintenance.ModeFull, true, func(ctx context.Context, p maintenance.RunParameters) error {
			return cycle{w, safety, p.MaintenanceStartTime}.run(ctx)
		})
	})
}

// postponed names a writer that was at work during the last cycle already. What that cycle marked as unused, and the writer
// took for its own before, a second cycle in its time could drop.
func (l *Lease) postponed(last time.Time) (string, error) {
	if l.kind == leaseAlone || last.IsZero() {
		return "", nil
	}
	writers, err := l.v.Writers(l.ctx)
	if err != nil {
		return "", err
	}
	for _, w := range writers {
		if w.Since.Before(last) {
			return w.String(), nil
		}
	}
	return "", nil
}

// sweepLeftovers removes the temporary files of killed writers, which kopia never looks at again.
func (v *Vault) sweepLeftovers() (removed int, err error) {
	if v.store.root == "" {
		return 0, nil
	}
	err = filepath.WalkDir(v.store.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(d.Name(), ".tmp.") {
			return err
		}
		fi, err := d.Info()
		if err != nil || now().Sub(fi.ModTime()) < leftoverAge {
			return nil // gone meanwhile, or perhaps in use
		}
		removed++
		return os.Remove(path)
	})
	return removed, err
}
