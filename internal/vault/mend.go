package vault

import (
	"context"
	"fmt"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
)

// mostRounds is how often an object is written anew: once for the index of its index, its index and its pieces each,
// since what an index names is not known before it can be read.
const mostRounds = 5

// writeAnew makes the vault forget what it has lost of an object and writes it, unless another writer of the session
// has done so. That mends the earlier points that hold it too.
func (s *Session) writeAnew(id object.ID, data []byte, opts object.WriterOptions) (object.ID, error) {
	s.mending.Lock()
	defer s.mending.Unlock()
	for range mostRounds {
		lost, err := s.lost(id)
		if err != nil || len(lost) == 0 {
			return id, err
		}
		for _, cid := range lost {
			if err := s.w.ContentManager().DeleteContent(s.ctx, cid); err != nil {
				return id, fmt.Errorf("forget content %v, which is lost: %w", cid, err)
			}
			s.mended.add(cid)
		}
		if id, err = s.writeOnce(data, opts); err != nil {
			return id, err
		}
	}
	return id, fmt.Errorf("object %v cannot be read after it was written anew", id)
}

// lost returns the contents of an object that the vault names and has no more. When its index is lost, that alone.
func (s *Session) lost(id object.ID) ([]content.ID, error) {
	index, nested := id.IndexObjectID()
	if !nested {
		return s.lostContent(id)
	}
	ids, err := s.lost(index)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	c := contentsOf(s.w)
	entries, err := c.entries(s.ctx, id, 0)
	if err != nil {
		return c.known(s.ctx, index), s.ctx.Err()
	}
	for _, e := range entries {
		more, err := s.lost(e.Object)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// lostContent returns the content of an object of one, if it is of an earlier session and its pack is gone or too short,
// or it is in doubt and still cannot be read.
func (s *Session) lostContent(id object.ID) ([]content.ID, error) {
	cid, _, ok := id.ContentID()
	if !ok {
		return nil, nil
	}
	info, err := s.w.ContentInfo(s.ctx, cid)
	if err != nil || s.rec.owns(info.PackBlobID) {
		return nil, err
	}
	err = s.packs.reach(s.ctx, info)
	if isLost(err) {
		return []content.ID{cid}, nil
	}
	if err != nil || !s.doubted.has(cid) {
		return nil, err
	}
	if _, err := s.v.content(s.ctx, info); err != nil {
		return []content.ID{cid}, s.ctx.Err()
	}
	s.doubted.remove(cid)
	s.mended.add(cid)
	return nil, nil
}

// proveMended is Vault's for what the session mended.
func (s *Session) proveMended(ctx context.Context) error { return s.v.proveMended(ctx, s.w, s.mended) }

// finder tells where a content lies.
type finder interface {
	ContentInfo(context.Context, content.ID) (content.Info, error)
}

// proveMended reads from the store what was lost or in doubt and is in the vault now, and ends the doubts about it.
func (v *Vault) proveMended(ctx context.Context, w finder, mended contentSet) error {
	for _, id := range mended.all() {
		info, err := w.ContentInfo(ctx, id)
		if err == nil {
			_, err = v.content(ctx, info)
		}
		if err != nil {
			return fmt.Errorf("content %v, written anew: %w", id, err)
		}
	}
	if mended.len() > 0 {
		_ = v.trust(ctx, mended.has) // a doubt that stays costs the next session a read
	}
	return nil
}
