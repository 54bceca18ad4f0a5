package vault

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
)

// Orphan is what was captured of a source and belongs to no sealed point: a checkpoint, or all of a source whose run was
// killed before it sealed its point. Its run may still be on its way, and may, of a checkpoint, have ended well.
type Orphan struct {
	Point, Source string
	checkpoint    bool
	v             *Vault
	m             *snapshot.Manifest
}

// FS returns what an orphan holds, as Vault.FS does of a point.
func (o Orphan) FS(ctx context.Context) *FS { return newFS(ctx, o.v, o.m) }

// Manifest decodes what the run said of it.
func (o Orphan) Manifest(ctx context.Context, into any) error {
	return o.v.loadJSON(ctx, o.m, manifestName, into)
}

// Orphans returns what belongs to no sealed point, oldest first; nothing while the list of snapshots is damaged, because
// what seals a point may be lost from it.
func (v *Vault) Orphans(ctx context.Context) ([]Orphan, error) {
	snaps, lost, err := v.list(ctx, nil)
	if err != nil {
		return nil, problem.Wrap(err, "find killed runs in vault", v.loc.URL)
	}
	if lost != nil || os.Getenv(passOver) != "" {
		return nil, nil
	}
	sealed := map[string]bool{}
	for _, m := range snaps {
		if m.Tags[tagSource] == pointPath {
			sealed[m.Tags[tagPoint]] = true
		}
	}
	var orphans []Orphan
	for _, m := range snaps {
		p, of := m.Tags[tagPoint], m.Tags[tagCheckpoint]
		if p != "" && (of != "" || !sealed[p]) {
			orphans = append(orphans, Orphan{Point: p, Source: cmp.Or(of, m.Tags[tagSource]), checkpoint: of != "", v: v, m: m})
		}
	}
	return orphans, nil
}

// passOver is kopia's own switch: with it in the environment, kopia lists what it can read and says nothing of the rest.
const passOver = "KOPIA_IGNORE_MALFORMED_MANIFEST_CONTENTS"

// Sweep deletes orphans of sources whose locks the caller holds, so that no living run owns them. What only seems to be one, because
// the index that names its point was lost, is named again and stays.
func (v *Vault) Sweep(ctx context.Context, orphans ...Orphan) error {
	switch err := v.nameRecorded(ctx, 0); {
	case problem.KindOf(err) == problem.Damage:
		return nil // as Orphans tells none of a damaged list
	case err != nil:
		return problem.Wrap(err, "sweep vault", v.loc.URL)
	}
	still, err := v.Orphans(ctx)
	if err != nil {
		return err
	}
	left := map[manifest.ID]bool{}
	for _, o := range still {
		left[o.m.ID] = true
	}
	var ids []manifest.ID
	for _, o := range orphans {
		if !left[o.m.ID] { // a point names it after all
			continue
		}
		if !o.checkpoint { // whose point may be sealed
			if err := v.dropRecord(ctx, o.Point); err != nil {
				return problem.Wrap(err, "sweep vault", v.loc.URL)
			}
		}
		ids = append(ids, o.m.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := v.forget(ctx, ids...); err != nil {
		return problem.Wrap(err, "sweep vault", v.loc.URL)
	}
	return nil
}

func (v *Vault) forget(ctx context.Context, ids ...manifest.ID) error {
	return v.write(ctx, "forget", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for _, id := range ids {
			if err := w.DeleteManifest(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// nameRecorded names again what packs hold that no index speaks of, when a point has had a record for some time and is not listed:
// what lists it may be lost, and what nothing lists would be removed for good. An error says that this is not known.
func (v *Vault) nameRecorded(ctx context.Context, least time.Duration) error {
	points, lost, err := v.list(ctx, map[string]string{tagSource: pointPath})
	if err != nil || lost != nil {
		return err
	}
	ids, err := v.recordedOnly(ctx, points, least)
	if err != nil || len(ids) == 0 {
		return err
	}
	_, unread, err := v.nameAgain(ctx, false)
	if err == nil && len(unread) > 0 {
		return problem.New(problem.Damage, "holdfast verify --all --heal looks for it", "point %s has a record and is not listed, and pack %s, which may hold it, cannot be read", ids[0], unread[0])
	}
	return err
}
