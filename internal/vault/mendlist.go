package vault

import (
	"context"
	"fmt"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
)

// mendList gives kopia a list that it can read, when its own is lost or in doubt.
func (v *Vault) mendList(ctx context.Context, lost error) error {
	doubted, err := v.doubted(ctx)
	if err != nil {
		return err
	}
	doubt := false
	for _, id := range doubted.all() {
		doubt = doubt || inList(id)
	}
	if lost == nil && !doubt {
		return nil
	}
	if err := v.write(ctx, "mend", v.listAnew); err != nil {
		return err
	}
	return v.trust(ctx, inList)
}

func inList(id content.ID) bool { return id.Prefix() == manifest.ContentPrefix }

// listAnew forgets what the store has lost of the list, and lists again what the cache and the records have of it.
func (v *Vault) listAnew(ctx context.Context, w repo.DirectRepositoryWriter) error {
	stored, err := v.readList(ctx, v.content)
	if err != nil {
		return err
	}
	known, err := v.readList(ctx, v.cached)
	if err != nil {
		return err
	}
	records, err := v.records(ctx, "")
	if err != nil {
		return err
	}
	for _, id := range stored.unreadable {
		if err := w.ContentManager().DeleteContent(ctx, id); err != nil {
			return fmt.Errorf("forget list %v, which is lost: %w", id, err)
		}
	}
	have := map[identity]bool{}
	for _, m := range stored.snapshots() {
		have[identityOf(m)] = true
		if known.entries[m.ID].Deleted {
			err = w.DeleteManifest(ctx, m.ID)
		}
		if err != nil {
			return fmt.Errorf("delete snapshot again: %w", err)
		}
	}
	for _, m := range append(known.snapshots(), known.missing(records)...) {
		if have[identityOf(m)] {
			continue
		}
		if _, err := snapshot.SaveSnapshot(ctx, w, m); err != nil {
			return fmt.Errorf("list snapshot again: %w", err)
		}
	}
	if has, err := maintenance.HasParams(ctx, w); err != nil || has {
		return err
	}
	return ownMaintenance(ctx, w)
}
