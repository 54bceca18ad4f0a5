package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"

	"holdfast/internal/problem"
)

// A content whose bytes were found damaged is in doubt, and the vault remembers it: one blob names what one reading
// found. A doubt is a reason to look and no more: whoever would share such a content reads it first, and whoever removes points relies
// on none that holds it. So it does no harm when it was unfounded, or when two processes raise or end it at once.

// doubts returns the contents in doubt by the blob that names them. A blob that cannot be read raises none.
func (v *Vault) doubts(ctx context.Context) (map[blob.ID][]content.ID, error) {
	names, err := v.keptNames(ctx, doubtBlobs)
	if err != nil {
		return nil, err
	}
	found := map[blob.ID][]content.ID{}
	for _, name := range names {
		var ids []content.ID
		if v.kept(ctx, name, &ids) == nil {
			found[name] = ids
		}
	}
	return found, ctx.Err()
}

// doubted returns all contents in doubt.
func (v *Vault) doubted(ctx context.Context) (contentSet, error) {
	set := newContentSet()
	found, err := v.doubts(ctx)
	for _, ids := range found {
		for _, id := range ids {
			set.add(id)
		}
	}
	return set, err
}

// Doubted returns the points that hold anything in doubt, or of which nobody can tell.
func (v *Vault) Doubted(ctx context.Context) (map[string]bool, error) {
	doubted, err := v.doubted(ctx)
	if err != nil {
		return nil, err
	}
	s := v.suspicion(doubted, v)
	if s.none() {
		return nil, nil
	}
	snaps, err := v.snapshots(ctx, nil)
	if err != nil {
		return nil, err
	}
	points, all := gather(snaps), map[string]bool{}
	for _, m := range snaps {
		p := points[m.Tags[tagPoint]]
		if p == nil || !slices.Contains(p.all(), m) {
			continue
		}
		is, err := s.against(ctx, m)
		if err != nil {
			is = true
			if err := errors.Join(ctx.Err(), v.outage(ctx, err)); err != nil {
				return nil, err
			}
		}
		if is {
			all[m.Tags[tagPoint]] = true
		}
	}
	return all, nil
}

// doubt remembers contents as damaged, unless they are in doubt already.
func (v *Vault) doubt(ctx context.Context, ids ...content.ID) error {
	if len(ids) == 0 {
		return nil
	}
	known, err := v.doubted(ctx)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), known.has)
	if len(ids) == 0 {
		return nil
	}
	return v.keep(ctx, doubtBlobs+blob.ID(rand.Text()), ids)
}

// trust forgets the doubts about contents that are whole, or gone from the vault.
func (v *Vault) trust(ctx context.Context, whole func(content.ID) bool) error {
	found, err := v.doubts(ctx)
	if err != nil {
		return err
	}
	for name, ids := range found {
		rest := slices.DeleteFunc(slices.Clone(ids), whole)
		switch {
		case len(rest) == 0:
			err = v.drop(ctx, name)
		case len(rest) < len(ids):
			err = v.keep(ctx, name, rest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unread is the error of a read of an object that ended with err: a problem of kind Damage, unless the reader stopped. The
// vault remembers what the object consists of; one that cannot, such as one on a read-only mount, is read all the same.
func (v *Vault) unread(ctx context.Context, id object.ID, err error) error {
	err = v.failure(err)
	if ctx.Err() != nil {
		return err
	}
	if away := v.outage(ctx, err); away != nil {
		return away
	}
	if doubtful(ctx, err) {
		_ = v.doubt(ctx, contentsOf(v.repo).known(ctx, id)...)
	}
	return &problem.Error{Kind: problem.Damage, Cause: err, Hint: DamageHint}
}

// outage is the error of a read that ended with err while the store does not even give what no vault is without: then nothing tells of
// damage. It is nil when the store gives that.
func (v *Vault) outage(ctx context.Context, err error) error {
	var b outputBuffer
	gerr := v.store.GetBlob(ctx, "kopia.repository", 0, -1, &b)
	if gerr == nil || ctx.Err() != nil {
		return nil
	}
	if errors.Is(gerr, blob.ErrBlobNotFound) {
		gerr = errors.New("the vault is not there any more")
	}
	return v.loc.unreachable(v.store.home.hint(), fmt.Errorf("%v: %w", err, gerr))
}

// doubtful reports whether a read that ended with err tells of damage to be remembered: a pack that is gone needs no reminder.
func doubtful(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, blob.ErrBlobNotFound)
}

// known returns the contents of an object, or those of its index when that cannot be read.
func (c contents) known(ctx context.Context, id object.ID) []content.ID {
	ids, err := c.backing(ctx, id, false)
	if index, nested := id.IndexObjectID(); err != nil && nested {
		return c.known(ctx, index)
	}
	return ids
}

// remember has the vault doubt what the verification could not read, and trust again what it could read or what is no
// more in any index. What a point needs stays in doubt also where an index has lost it, or marks it as unused: it may be named again.
func (vf *verifier) remember(ctx context.Context) error {
	if err := vf.v.doubt(ctx, vf.doubts.all()...); err != nil {
		return err
	}
	if vf.doubted.len() == 0 {
		return nil
	}
	return vf.v.trust(ctx, func(id content.ID) bool {
		switch _, missing := vf.missing[id]; {
		case vf.sound.has(id):
			return true
		case missing || vf.doubts.has(id):
			return false
		}
		info, err := vf.c.ContentInfo(ctx, id)
		return errors.Is(err, content.ErrContentNotFound) || err == nil && info.Deleted
	})
}

// unreadable remembers an object whose directory or index could not be read.
func (vf *verifier) unreadable(ctx context.Context, id object.ID, err error) {
	if !vf.present(ctx, err) {
		return
	}
	for _, cid := range vf.c.known(ctx, id) {
		vf.doubts.add(cid)
	}
}
