package restore

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/event"
	"holdfast/internal/stream/rbddiff"
	"holdfast/internal/vault"
)

// feed lays changes over an image, as a step of that name. Ceph has who writes to a full pool wait for room without a word; so
// it is looked for when nothing moves, and told.
func (r *Restorer) feed(ctx context.Context, step string, on cephcmd.Cluster, to cephcmd.Spec, file *vault.File, write []rbddiff.Extent) error {
	count := r.counter(step, bytesOf(write))
	var moved atomic.Int64
	watched, stop := context.WithCancel(ctx)
	defer stop()
	go r.watch(watched, step, on, to.Pool, &moved)
	return r.step(step, func() error {
		out, in := io.Pipe()
		go func() {
			in.CloseWithError(sendDiff(in, file, write, func(n int64) {
				moved.Add(n)
				count(n)
			}))
		}()
		err := on.ImportDiff(ctx, to, out)
		return errors.Join(err, out.Close())
	})
}

// stalled is after what time without a byte it is asked whether there is room.
const stalled = 10 * time.Second

// watch tells once for every time that nothing moves that it is for want of room.
func (r *Restorer) watch(ctx context.Context, step string, on cephcmd.Cluster, pool string, moved *atomic.Int64) {
	tick := time.NewTicker(stalled)
	defer tick.Stop()
	last, told := int64(-1), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := moved.Load()
		if now == last && now != told && r.tellFull(ctx, step, on, pool) {
			told = now
		}
		last = now
	}
}

// tellFull tells that a restore waits for room in a pool, if that is full.
func (r *Restorer) tellFull(ctx context.Context, step string, on cephcmd.Cluster, pool string) bool {
	m, err := on.Map(ctx)
	if err != nil || m.Full(pool) == "" {
		return false
	}
	r.emit(event.Event{Kind: event.Note, Component: step, Text: m.Full(pool) + ": the restore waits until there is room, and goes on then"})
	return true
}
