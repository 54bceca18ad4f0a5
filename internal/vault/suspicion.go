package vault

import (
	"context"
	"errors"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
)

// AskForPacks compares what the vault's index names with one listing of the packs in the store. When one of those is gone, or too short,
// Doubted and Copies count what lay in it as in doubt for as long as v is open: no verification may have found that yet, or one of
// another host, which keeps to itself what it finds missing.
func (v *Vault) AskForPacks(ctx context.Context) error {
	if err := v.askForPacks(ctx); err != nil {
		return problem.Wrap(v.failure(err), "look for the packs of vault", v.loc.URL)
	}
	return nil
}

// askForPacks reads the index first, so that what was written meanwhile is in the listing and what was reclaimed is not missed. The first
// pack that is lost ends it: what lay in which of them is found with the points.
func (v *Vault) askForPacks(ctx context.Context) error {
	if err := v.repo.Refresh(ctx); err != nil {
		return err
	}
	p, err := listPacks(ctx, v.store)
	if err != nil {
		return err
	}
	lost := errors.New("lost")
	err = v.repo.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		switch err := p.reach(ctx, i); {
		case err == nil:
			return ctx.Err()
		case isLost(err):
			return lost
		default:
			return err
		}
	})
	if errors.Is(err, lost) {
		v.packs.Store(p)
		return nil
	}
	return err
}

// suspicion is against snapshots that hold anything of which a vault may not have a whole copy.
type suspicion struct {
	tree    contents // where the snapshots are read
	of      *Vault
	doubted contentSet                    // in of
	sound   map[string]*snapshot.DirEntry // the last tree without a doubt, by source: most of the next one is in it
}

// suspicion is against what of doubts, or has lost as far as it was asked, in snapshots that v reads.
func (v *Vault) suspicion(doubted contentSet, of *Vault) *suspicion {
	return &suspicion{tree: contentsOf(v.repo), of: of, doubted: doubted, sound: map[string]*snapshot.DirEntry{}}
}

// none reports whether nothing is suspected.
func (s *suspicion) none() bool { return s.doubted.len() == 0 && s.of.packs.Load() == nil }

// against reports whether a snapshot holds anything suspect. It fails when nobody can tell.
func (s *suspicion) against(ctx context.Context, m *snapshot.Manifest) (bool, error) {
	source := m.Tags[tagSource]
	is, err := s.tree.holdAny(ctx, m.RootEntry, s.sound[source], s.content)
	if !is && err == nil {
		s.sound[source] = m.RootEntry
	}
	return is, err
}

// content reports whether a content is suspect: in doubt, or not proven to be in the store where not all is.
func (s *suspicion) content(ctx context.Context, id content.ID) bool {
	if s.doubted.has(id) {
		return true
	}
	p := s.of.packs.Load()
	if p == nil {
		return false
	}
	_, err := p.holds(ctx, contentsOf(s.of.repo), id)
	return err != nil
}
