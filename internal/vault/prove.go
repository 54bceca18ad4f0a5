package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"
)

const (
	readBackShare = 100 // one new content in so many is read back
	readBackLeast = 16
)

// contents reads a repository below its objects.
type contents struct {
	content.Reader
	repo repo.DirectRepository
}

func contentsOf(r repo.DirectRepository) contents { return contents{r.ContentReader(), r} }

// PrefetchContents completes what kopia asks of a reader of indexes.
func (c contents) PrefetchContents(ctx context.Context, ids []content.ID, hint string) []content.ID {
	return c.repo.PrefetchContents(ctx, ids, hint)
}

// entries returns the pieces of an object of a known size, and the contents that hold its index.
func (c contents) entries(ctx context.Context, id object.ID, size int64) ([]object.IndirectObjectEntry, error) {
	index, ok := id.IndexObjectID()
	if !ok {
		return []object.IndirectObjectEntry{{Length: size, Object: id}}, nil
	}
	var entries []object.IndirectObjectEntry
	err := again(ctx, func(ctx context.Context) error {
		rd, err := object.Open(ctx, c, index)
		if err != nil {
			return err
		}
		defer rd.Close()
		data, err := io.ReadAll(rd)
		if err == nil {
			entries, err = parseIndex(data)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read index of object %v: %w", id, err)
	}
	return entries, nil
}

// packs knows how long the packs in the store are.
type packs struct {
	store  blob.Storage
	mu     sync.Mutex
	known  map[blob.ID]int64
	listed bool
	// revive takes a content into use again that maintenance has marked as unused since the writer found it there. A reader has
	// none: what a sealed point refers to the next maintenance unmarks by itself.
	revive func(context.Context, content.ID) error
}

// list learns the lengths of all packs by one listing of the store.
func (p *packs) list(ctx context.Context) error {
	for _, prefix := range []blob.ID{"p", "q"} {
		err := p.store.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			p.known[m.BlobID] = m.Length
			return nil
		})
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
	}
	p.listed = true
	return nil
}

func (p *packs) length(ctx context.Context, id blob.ID) (int64, error) {
	p.mu.Lock()
	n, ok := p.known[id]
	p.mu.Unlock()
	if ok {
		return n, nil
	}
	m, err := p.store.GetMetadata(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("find pack %v: %w", id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[id] = m.Length
	return m.Length, nil
}

// packsProven is how many packs are asked for at once.
const packsProven = 16

// prove finds packs that were written, each with its length.
func (p *packs) prove(ctx context.Context, written map[blob.ID]int64) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(packsProven)
	for id, want := range written {
		g.Go(func() error {
			n, err := p.length(ctx, id)
			if err == nil && n != want {
				err = fmt.Errorf("pack %v has %d bytes of %d", id, n, want)
			}
			return err
		})
	}
	return g.Wait()
}

// holds proves that a content is known and that its pack is in the store and long enough, as reach does.
func (p *packs) holds(ctx context.Context, c contents, id content.ID) (content.Info, error) {
	info, err := c.ContentInfo(ctx, id)
	if err != nil {
		return info, fmt.Errorf("find content %v: %w", id, err)
	}
	if err := p.reach(ctx, info); err != nil || !info.Deleted || p.revive == nil {
		return info, err
	}
	if err := p.revive(ctx, id); err != nil {
		return info, fmt.Errorf("take content %v, which was marked as unused, into use again: %w", id, err)
	}
	return info, nil
}

var errTruncated = errors.New("is truncated")

// isLost reports whether reach has found that a content is not whole in its pack.
func isLost(err error) bool {
	return errors.Is(err, blob.ErrBlobNotFound) || errors.Is(err, errTruncated)
}

// packUnit is what kopia fills up the contents of a pack to a multiple of, always with one byte at least, before it appends the pack's own
// index: no pack ends where this filling does, or before.
const packUnit = 4096

// contentEnd is where a content ends in its pack.
func contentEnd(info content.Info) int64 { return int64(info.PackOffset) + int64(info.PackedLength) }

// tooShort reports whether a pack of that length does not go on behind what fills up its contents up to that end.
func tooShort(length, end int64) bool { return length <= (end/packUnit+1)*packUnit }

// reach proves that the pack of a content is in the store and long enough: so long that it goes on behind what fills up its contents.
func (p *packs) reach(ctx context.Context, info content.Info) error {
	length, err := p.length(ctx, info.PackBlobID)
	if err != nil {
		return err
	}
	if end := contentEnd(info); tooShort(length, end) {
		return fmt.Errorf("pack %v %w: %d bytes, content %v ends at %d and more follows", info.PackBlobID, errTruncated, length, info.ContentID, end)
	}
	return nil
}

// check reads a content from the store and proves that its bytes have the hash by which it is named.
func (v *Vault) check(ctx context.Context, c contents, key []byte, id content.ID) error {
	info, err := c.ContentInfo(ctx, id)
	if err != nil {
		return fmt.Errorf("find content %v: %w", id, err)
	}
	data, err := v.content(ctx, info)
	if err != nil {
		return err
	}
	return named(key, id, data)
}

// named proves that the bytes of a content have the hash by which it is named.
func named(key []byte, id content.ID, data []byte) error {
	h, err := blake3.NewKeyed(key)
	if err != nil {
		return err
	}
	_, _ = h.Write(data) // a hash takes everything
	if sum := h.Sum(nil); !bytes.Equal(sum, id.Hash()) {
		return fmt.Errorf("content %v has other bytes than its name says", id)
	}
	return nil
}

// prove finds what stands at names again, and all packs of the session: every content of every file and directory
// resolves, every pack is in the store with its length, and a share of the new contents is read back.
func (s *Session) prove(ctx context.Context, names *node, root *snapshot.DirEntry) (SealResult, error) {
	c := contentsOf(s.w)
	p := &packs{store: s.v.store, known: map[blob.ID]int64{}, revive: s.w.ContentManager().UndeleteContent}
	if err := p.prove(ctx, s.rec.written()); err != nil {
		return SealResult{}, fmt.Errorf("%w: %w", errUnproven, err)
	}
	seen := fingerprints{}
	if err := s.proveNode(ctx, c, p, seen, names, root); err != nil {
		return SealResult{}, fmt.Errorf("%w: %w", errUnproven, err)
	}
	n, err := s.readBack(ctx, c, seen)
	if err != nil {
		return SealResult{}, fmt.Errorf("%w: %w", errUnproven, err)
	}
	return SealResult{
		Files: root.DirSummary.TotalFileCount, Bytes: root.DirSummary.TotalFileSize,
		NewBytes: s.newBytes.Load(), NewContents: s.fresh.len(), Proven: len(seen), ReadBack: n,
	}, nil
}

// proveNode walks the names; an adopted entry was proven with its own point and only its top is looked up.
func (s *Session) proveNode(ctx context.Context, c contents, p *packs, seen fingerprints, n *node, e *snapshot.DirEntry) error {
	ids, err := c.backing(ctx, e.ObjectID, n.adopted != nil)
	if err != nil {
		s.doubtShared(ctx, c, e.ObjectID)
		return err
	}
	for _, id := range ids {
		if !seen.add(id) {
			continue
		}
		if _, err := p.holds(ctx, c, id); err != nil {
			return err
		}
	}
	if !n.isDir() {
		return nil
	}
	return s.proveChildren(ctx, c, p, seen, n, e)
}

// doubtShared has the vault remember an index or a directory that cannot be read. The session did not write it, since the vault had one
// of the same name, damaged as nobody knew: the next session writes it anew.
func (s *Session) doubtShared(ctx context.Context, c contents, id object.ID) {
	if ctx.Err() == nil {
		_ = s.v.doubt(ctx, c.known(ctx, id)...) // a vault that cannot remember has failed anyway
	}
}

func (s *Session) proveChildren(ctx context.Context, c contents, p *packs, seen fingerprints, n *node, e *snapshot.DirEntry) error {
	listed, err := readDir(ctx, s.w, e.ObjectID)
	if err != nil {
		s.doubtShared(ctx, c, e.ObjectID)
		return err
	}
	if len(listed) != len(n.children) {
		return fmt.Errorf("directory %q lists %d names of %d", e.Name, len(listed), len(n.children))
	}
	for _, le := range listed {
		child, ok := n.children[le.Name]
		if !ok {
			return fmt.Errorf("directory %q lists %q", e.Name, le.Name)
		}
		if err := s.proveNode(ctx, c, p, seen, child, le); err != nil {
			return fmt.Errorf("%s: %w", le.Name, err)
		}
	}
	return nil
}

// backing returns the contents an object consists of, its index included; with top only the first of them.
func (c contents) backing(ctx context.Context, id object.ID, top bool) ([]content.ID, error) {
	var ids []content.ID
	index, nested := id.IndexObjectID()
	if !nested {
		cid, _, ok := id.ContentID()
		if !ok {
			return nil, fmt.Errorf("object %v has no content", id)
		}
		return []content.ID{cid}, nil
	}
	ids, err := c.backing(ctx, index, top)
	if err != nil || top {
		return ids, err
	}
	entries, err := c.entries(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		more, err := c.backing(ctx, e.Object, false)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// readBack reads and hashes a share of those contents that are new.
func (s *Session) readBack(ctx context.Context, c contents, of fingerprints) (int, error) {
	ids := slices.DeleteFunc(s.fresh.sample(), func(id content.ID) bool { return !of.has(id) })
	key := s.v.repo.FormatManager().GetHmacSecret()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers())
	for _, id := range ids {
		g.Go(func() error { return s.v.check(ctx, c, key, id) })
	}
	return len(ids), g.Wait()
}
