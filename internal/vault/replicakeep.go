package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"
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
	return true, nil
}

// hasLost reports whether the second vault has no more what it names.
func (r *Replica) hasLost(ctx context.Context, info content.Info) (bool, error) {
	if err := r.packs.fill(ctx); err != nil {
		return false, err
	}
	err := r.packs.reach(ctx, info)
	if errors.Is(err, blob.ErrBlobNotFound) || errors.Is(err, errTruncated) {
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

// fill lists all packs once many were asked for.
func (p *packs) fill(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listed || len(p.known) < packsAsked {
		return nil
	}
	return p.list(ctx)
}

// write puts a content into the second vault under the name it has in the first.
func (r *Replica) write(ctx context.Context, id content.ID, data []byte, with compression.Name) error {
	ctx, end := r.to.turns.take(ctx)
	defer end()
	w := r.w.NewObjectWriter(ctx, object.WriterOptions{Prefix: id.Prefix(), Splitter: wholePiece, Compressor: with, MetadataCompressor: with})
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return r.to.full(err)
	}
	got, err := w.Result()
	if err != nil {
		return r.to.full(err)
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
	if err := r.w.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", r.to.full(err))
	}
	r.flushed, r.unflushed = time.Now(), 0
	return r.to.store.sync()
}

// prove finds in the second vault what the point consists of: every directory and index is read there, every content
// resolves, every pack is there with its length, and a share of the contents is read and hashed. What stands in a point that
// was proven there before is not looked at again.
func (c *carrier) prove(ctx context.Context, p *sealedPoint) error {
	r := c.r
	if err := r.provePacks(ctx); err != nil {
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
		broken: func(_ context.Context, _ object.ID, at place, err error) error {
			return fmt.Errorf("%s %s: %w", at.source, at.file, err)
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
	c.sum.Proven, c.sum.ReadBack = seen.len(), len(sample)
	if err := r.to.proveMended(ctx, r.w, r.mended); err != nil {
		return err
	}
	for _, id := range r.mended.all() {
		r.doubted.remove(id)
	}
	r.mended = newContentSet()
	return nil
}

// provePacks finds the packs that were written, each once.
func (r *Replica) provePacks(ctx context.Context) error {
	for id, want := range r.rec.take() {
		if err := r.packs.fill(ctx); err != nil {
			return err
		}
		if n, err := r.packs.length(ctx, id); err != nil || n != want {
			return fmt.Errorf("pack %v has %d bytes of %d: %w", id, n, want, err)
		}
	}
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
			if err != nil {
				return err
			}
			return named(key, id, data)
		})
	}
	return g.Wait()
}

// seal makes the point visible in the second vault, last: the snapshots of its sources and the one that seals it, which kopia
// writes into one content of its list, and the point's record.
func (c *carrier) seal(ctx context.Context, p *sealedPoint) error {
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
	if err := c.r.to.keepRecord(ctx, rec); err != nil {
		return err
	}
	return c.r.flush(ctx)
}
