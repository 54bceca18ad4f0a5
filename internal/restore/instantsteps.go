package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/event"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
)

// finish brings the restore from the stage it has reached to its end.
func (i *Instant) finish(ctx context.Context) error {
	steps := []struct {
		from, to Stage
		do       func(context.Context) error
	}{
		{Planned, Usable, i.prepare},
		{Usable, Copied, i.bring},
		{Copied, Committed, i.commit},
	}
	for _, s := range steps {
		if i.record.Stage != s.from {
			continue
		}
		if err := s.do(ctx); err != nil {
			return err
		}
		if err := i.reached(s.to); err != nil {
			return err
		}
		if s.to == Usable {
			i.tellUsable()
		}
	}
	if err := i.snapshot(ctx); err != nil {
		return err
	}
	return i.forget(ctx)
}

func (i *Instant) tellUsable() {
	i.r.emit(event.Event{
		Kind: event.Note, Component: i.target.String(),
		Text: "can be used now; if this command ends before the data is copied: " + i.record.ResumeCommand(),
	})
}

// prepare makes the image. What a prepare that was cut off has left is taken, or removed where it is of no use.
func (i *Instant) prepare(ctx context.Context) error {
	if !i.fresh {
		if there, err := i.prepared(ctx); err != nil || there {
			return err
		}
	}
	id := i.copy.identity
	shape := cephcmd.Shape{Order: id.Order, Features: id.Features, DataPool: id.DataPool}
	err := i.r.step("prepare "+i.target.String(), func() error { return i.on.Prepare(ctx, i.target, shape, i.source()) })
	if err == nil {
		there, err := i.prepared(ctx)
		if err != nil { // it depends on us all the same
			return &problem.Error{Kind: problem.KindOf(err), Cause: err, Hint: "go on with it: " + i.record.ResumeCommand()}
		}
		if !there {
			return i.foreign()
		}
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	if _, ierr := i.on.Info(ctx, i.target); cephcmd.IsNotFound(ierr) || cephcmd.IsExists(err) {
		return errors.Join(err, i.forget(ctx)) // nothing depends on it
	}
	return err
}

// prepared reports whether an earlier prepare has made the image. One that it began and that holds nothing is removed.
func (i *Instant) prepared(ctx context.Context) (bool, error) {
	m, err := i.migration(ctx)
	switch {
	case cephcmd.IsNotFound(err), errors.Is(err, errHalf):
		return false, nil
	case err != nil:
		return false, err
	case m != nil && strings.Contains(m.Source, i.url()):
		i.record.ImageID = m.ImageID
		return true, nil
	case m != nil:
		return false, i.foreign()
	}
	return false, i.clear(ctx)
}

// errHalf says that a killed prepare has left half of an image, which was removed.
var errHalf = errors.New("half of an image was there")

// unanswered is after what time an image counts as one that Ceph tries to open without end: a prepare of it was killed between two of its
// steps.
const unanswered = 20 * time.Second

// migration reads how far the image has come before anybody was told that it can be used. Half of one that is ours is removed.
func (i *Instant) migration(ctx context.Context) (*cephcmd.Migration, error) {
	asked, cancel := context.WithTimeout(ctx, unanswered)
	defer cancel()
	m, err := i.on.Migration(asked, i.target)
	if err == nil || asked.Err() == nil || ctx.Err() != nil {
		return m, err
	}
	ours, err := i.on.PreparedFrom(ctx, i.target, i.record.Token)
	if err != nil {
		return nil, err
	}
	if !ours {
		return nil, i.foreign()
	}
	if err := patiently(ctx, func() error { return i.on.Abort(ctx, i.target) }); err != nil {
		return nil, fmt.Errorf("remove half of %s: %w", i.target, err)
	}
	return nil, errHalf
}

func (i *Instant) foreign() error {
	return problem.New(problem.Failed, "rename or remove it, and then: "+i.record.ResumeCommand(), "%s was made by something else meanwhile", i.target)
}

// afterKill is how long Ceph takes a client that was killed to be there, and some more.
const afterKill = time.Minute

// clear removes an image that a killed prepare has begun: of the size of ours, and with no data.
func (i *Instant) clear(ctx context.Context) error {
	info, err := i.on.Info(ctx, i.target)
	if err != nil {
		return err
	}
	data, err := i.on.Changed(ctx, i.target, "", cephcmd.Objects)
	if err != nil {
		return err
	}
	snapshots, err := i.on.Snapshots(ctx, i.target.Pool, info.ID)
	if err != nil {
		return err
	}
	if info.Size != i.copy.file.Size() || info.Parent != nil || len(data) > 0 || len(snapshots) > 0 {
		return i.foreign()
	}
	return patiently(ctx, func() error { return i.on.Remove(ctx, i.target) })
}

// patiently does again what fails because a client that was killed is still taken to be there.
func patiently(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, afterKill)
	defer cancel()
	for {
		err := do()
		if !cephcmd.IsBusy(err) {
			return err
		}
		if sleep(ctx, poll) != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// bring copies the data into the cluster.
func (i *Instant) bring(ctx context.Context) error {
	m, err := i.state(ctx)
	if err != nil || m == nil || m.State == cephcmd.Executed {
		return err
	}
	name := "copy " + i.record.Component + " to " + i.target.String()
	return i.r.step(name, func() error {
		var moved atomic.Int64
		watched, stop := context.WithCancel(ctx)
		defer stop()
		go i.follow(watched, name, &moved)
		go i.r.watch(watched, name, i.on, i.target.Pool, &moved)
		return i.copied(ctx, name)
	})
}

// again is how often a copy is begun anew that ended because a client of the image did.
const again = 20

// copied copies until all is there, whoever opens and closes the image meanwhile, and however long the pool has no room: what ended here
// would leave an image that nobody can read.
func (i *Instant) copied(ctx context.Context, step string) error {
	for n, told := 0, false; ; {
		err, pause := i.on.Copy(ctx, i.target), poll
		switch {
		case cephcmd.IsFull(err):
			told, pause = told || i.r.tellFull(ctx, step, i.on, i.target.Pool), stalled
		case cephcmd.IsCutOff(err) && n < again:
			n++
		default:
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// state is how far the image has come, nil when it is complete.
func (i *Instant) state(ctx context.Context) (*cephcmd.Migration, error) {
	m, err := i.on.Migration(ctx, i.target)
	if cephcmd.IsNotFound(err) {
		return nil, problem.New(problem.Failed, "if it was removed on purpose: holdfast restore abort --discard-writes "+i.record.ID, "%s is gone", i.target)
	}
	if err != nil {
		return nil, err
	}
	if m != nil && !strings.Contains(m.Source, i.url()) {
		return nil, i.foreign()
	}
	return m, i.same(ctx)
}

// same is an error when another image has taken the place of the one that was prepared.
func (i *Instant) same(ctx context.Context) error {
	info, err := i.on.Info(ctx, i.target)
	if err == nil && info.ID != i.record.ImageID {
		return i.foreign()
	}
	return err
}

// follow tells how much is copied.
func (i *Instant) follow(ctx context.Context, step string, moved *atomic.Int64) {
	for sleep(ctx, poll) == nil {
		if m, err := i.on.Migration(ctx, i.target); err == nil && m != nil {
			moved.Store(i.copy.data * m.Percent() / 100)
			i.r.emit(event.Event{Kind: event.Progress, Component: step, Bytes: moved.Load(), Total: i.copy.data})
		}
	}
}

// commit ends the dependence.
func (i *Instant) commit(ctx context.Context) error {
	m, err := i.state(ctx)
	if err != nil || m == nil {
		return err
	}
	return i.r.step("commit "+i.target.String(), func() error { return i.on.Commit(ctx, i.target) })
}

// snapshot makes the snapshot that Glance expects of its images.
func (i *Instant) snapshot(ctx context.Context) error {
	if !i.glance() {
		return nil
	}
	snap := i.target.At(rbd.GlanceSnapshot)
	return i.r.step("make and protect snapshot "+rbd.GlanceSnapshot, func() error {
		if err := i.on.Snap(ctx, snap); err != nil && !cephcmd.IsExists(err) {
			return err
		}
		if err := i.on.Protect(ctx, snap); err != nil && !cephcmd.IsBusy(err) { // it is protected
			return err
		}
		return nil
	})
}

// CheckAbort tells what an abort loses, unless that was accepted.
func (d *Dependent) CheckAbort(discard bool, now time.Time) error {
	if discard || d.Since == nil {
		return nil
	}
	return problem.New(problem.Usage, "to lose what was written to it, add --discard-writes; to keep it: "+d.ResumeCommand(),
		"%s has been writable since %s (%s), and an abort removes it with every write since then",
		d.Target, d.Since.UTC().Format("2006-01-02 15:04:05 UTC"), now.Sub(*d.Since).Round(time.Second))
}

// Abort removes the image with everything that was written to it.
func (i *Instant) Abort(ctx context.Context) error {
	err := i.serving(ctx, func(ctx context.Context) error { // rbd reads the source to abort
		return i.r.step("abort "+i.target.String(), func() error { return i.abort(ctx) })
	})
	if err != nil {
		return problem.Wrap(err, "abort restore to", i.target.String())
	}
	i.plan.Undo = nil
	return nil
}

func (i *Instant) abort(ctx context.Context) error {
	look := func(ctx context.Context) (*cephcmd.Migration, error) { return i.on.Migration(ctx, i.target) }
	if i.record.Stage == Planned {
		look = i.migration
	}
	m, err := look(ctx)
	switch {
	case cephcmd.IsNotFound(err), errors.Is(err, errHalf):
		return i.forget(ctx)
	case err != nil:
		return err
	case m == nil && i.record.Stage == Planned:
		if err := i.clear(ctx); err != nil {
			return err
		}
		return i.forget(ctx)
	case m == nil:
		if err := i.same(ctx); err != nil {
			return err
		}
		return problem.New(problem.Failed, "remove the image if you want to: rbd rm "+i.target.String()+"; then: "+i.record.ResumeCommand(),
			"%s is complete and depends on nothing", i.target)
	case !strings.Contains(m.Source, i.url()):
		return i.foreign()
	}
	err = patiently(ctx, func() error { return i.on.Abort(ctx, i.target) })
	if cephcmd.IsBusy(err) {
		return problem.New(problem.Busy, "stop what uses it: rbd status "+i.target.String()+" lists its clients", "%s is in use: %w", i.target, err)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", i.target, err)
	}
	return i.forget(ctx)
}
