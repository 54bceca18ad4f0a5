package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
)

// lacks reports whether the second vault does not have a content. One that it names and has lost is forgotten there, so that
// it is written anew.
func (r *Replica) lacks(ctx context.Context, id content.ID) (bool, error) {
	c := r.there()
	info, err := c.ContentInfo(ctx, id)
	switch {
	case errors.Is(err, content.ErrContentNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("find content %v: %w", id, err)
	case info.Deleted:
		return true, nil
	case r.rec.owns(info.PackBlobID):
		return false, nil
	}
	lost, err := r.hasLost(ctx, info)
	if err != nil || !lost || r.w == nil {
		return lost, err
	}
	if err := r.w.ContentManager().DeleteContent(ctx, id); err != nil {
		return false, fmt.Errorf("forget content %v, which is lost: %w", id, err)
	}
	r.mended.add(id)
	r.anew.Add(1)
	return true, nil
}

// hasLost reports whether the second vault has no more what it names.
func (r *Replica) hasLost(ctx context.Context, info content.Info) (bool, error) {
	if err := r.packs.fill(ctx, 0); err != nil {
		return false, err
	}
	err := r.packs.reach(ctx, info)
	if isLost(err) {
		return true, nil
	}
	if err != nil || !r.doubted.has(info.ContentID) {
		return false, err
	}
	if _, err := r.to.content(ctx, info); err != nil {
		return true, ctx.Err()
	}
	r.mended.add(info.ContentID)
	return false, nil
}

// there reads the second vault.
func (r *Replica) there() contents {
	if r.w == nil {
		return contentsOf(r.to.repo)
	}
	return contentsOf(r.w)
}

// fill lists all packs once many were asked for, with those about to be.
func (p *packs) fill(ctx context.Context, more int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listed || len(p.known)+more < packsAsked {
		return nil
	}
	return p.list(ctx)
}

// write puts a content into the second vault under the name it has in the first.
func (r *Replica) write(ctx context.Context, id content.ID, data []byte, with compression.Name) error {
	return r.to.writeContent(ctx, r.w, id, data, with)
}

// writeContent writes a content that has its name from elsewhere.
func (v *Vault) writeContent(ctx context.Context, to repo.DirectRepositoryWriter, id content.ID, data []byte, with compression.Name) error {
	ctx, end := v.turns.take(ctx)
	defer end()
	w := to.NewObjectWriter(ctx, object.WriterOptions{Prefix: id.Prefix(), Splitter: wholePiece, Compressor: with, MetadataCompressor: with})
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return v.full(err)
	}
	got, err := w.Result()
	if err != nil {
		return v.full(err)
	}
	if cid, _, ok := got.ContentID(); !ok || cid != id {
		return fmt.Errorf("its bytes have the name %v", got)
	}
	return nil
}

// keep flushes when so much, or for so long, nothing was.
func (r *Replica) keep(ctx context.Context, bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unflushed += bytes
	if r.unflushed < flushBytes && time.Since(r.flushed) < flushEvery {
		return nil
	}
	return r.flushLocked(ctx)
}

func (r *Replica) flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushLocked(ctx)
}

func (r *Replica) flushLocked(ctx context.Context) error {
	if err := r.to.failure(nil); err != nil {
		return err
	}
	if err := r.w.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", r.to.full(err))
	}
	r.flushed, r.unflushed = time.Now(), 0
	return r.to.store.sync()
}

// prove finds in the second vault what the point consists of: every directory and index is read there, every content
// resolves, every pack is there with its length, and a share of the contents is read and hashed. What stands in a point that
// was proven there before is not looked at again. What cannot be read, which may be there from points that are gone, is in doubt
// from then on: whoever copies it next writes it anew.
func (c *carrier) prove(ctx context.Context, p *sealedPoint) error {
	r := c.r
	written := r.rec.take()
	if err := r.packs.fill(ctx, len(written)); err != nil {
		return err
	}
	if err := r.packs.prove(ctx, written); err != nil {
		return err
	}
	seen := newSampled()
	d := difference{
		tree: r.there(), base: []contents{contentsOf(r.from.repo), r.there()},
		visit: func(ctx context.Context, id content.ID, at place) error {
			if !seen.add(id) {
				return nil
			}
			if _, err := r.packs.holds(ctx, r.there(), id); err != nil {
				return fmt.Errorf("%s %s: %w", at.source, at.file, err)
			}
			return nil
		},
		broken: func(ctx context.Context, id object.ID, at place, err error) error {
			return fmt.Errorf("%s %s: %w", at.source, at.file, r.damaged(ctx, err, r.there().known(ctx, id)...))
		},
	}
	for _, m := range p.all() {
		if err := d.entry(ctx, m.RootEntry, r.base(m), place{m.Tags[tagSource], "."}); err != nil {
			return err
		}
	}
	sample := seen.sample()
	if err := r.readBack(ctx, sample); err != nil {
		return err
	}
	c.sum.Proven, c.sum.ReadBack, c.sum.Mended = seen.len(), len(sample), int(r.anew.Swap(0))
	if err := r.to.proveMended(ctx, r.w, r.mended); err != nil {
		return err
	}
	for _, id := range r.mended.all() {
		r.doubted.remove(id)
	}
	r.mended = newContentSet()
	return nil
}

// readBack reads contents from the second vault's store and hashes them.
func (r *Replica) readBack(ctx context.Context, ids []content.ID) error {
	key := r.to.repo.FormatManager().GetHmacSecret()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Parallel)
	for _, id := range ids {
		g.Go(func() error {
			info, err := r.w.ContentInfo(ctx, id)
			if err != nil {
				return fmt.Errorf("find content %v: %w", id, err)
			}
			data, err := r.to.content(ctx, info)
			if err == nil {
				err = named(key, id, data)
			}
			if err != nil {
				return r.damaged(ctx, err, id)
			}
			return nil
		})
	}
	return g.Wait()
}

// errDoubted tells that the second vault has damaged what nobody doubted before.
var errDoubted = errors.New("it is damaged there")

// damaged is the error of a read in the second vault that ended with err; the vault remembers what could not be read.
func (r *Replica) damaged(ctx context.Context, err error, ids ...content.ID) error {
	if !doubtful(ctx, err) {
		return err
	}
	if away := r.to.outage(ctx, err); away != nil {
		return away
	}
	err = errors.Join(err, r.to.doubt(ctx, ids...))
	fresh := false
	for _, id := range ids {
		fresh = r.doubted.add(id) || fresh
	}
	if fresh {
		err = fmt.Errorf("%w: %w", errDoubted, err)
	}
	return &problem.Error{Kind: problem.Damage, Cause: err, Hint: "run it again: what is damaged there is written anew"}
}

// seal makes the point visible in the second vault, last: the snapshots of its sources and the one that seals it, which kopia
// writes into one content of its list, and the point's record; before that its hold, if it is on hold in the first.
func (c *carrier) seal(ctx context.Context, p *sealedPoint) error {
	if err := c.r.to.failure(nil); err != nil {
		return err
	}
	rec := record{Point: c.manifest, Sources: c.sources}
	for _, m := range p.all() {
		if have := c.r.held[identityOf(m)]; have != nil {
			rec.Snapshots = append(rec.Snapshots, have)
			continue
		}
		m = m.Clone()
		if _, err := snapshot.SaveSnapshot(ctx, c.r.w, m); err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		rec.Snapshots = append(rec.Snapshots, m)
	}
	if h, ok := c.r.onHold[rec.Point.ID]; ok && h.Spreads(c.r.to.loc.Tier) {
		if err := c.r.to.keepHold(ctx, rec.Point.ID, h); err != nil {
			return err
		}
	}
	if err := c.r.to.keepRecord(ctx, rec); err != nil {
		return err
	}
	return c.r.flush(ctx)
}
