package vault

import (
	"context"
	"os"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"

	"holdfast/internal/problem"
)

// Orphan is a source snapshot whose point was never sealed: its run was killed, or still runs.
type Orphan struct {
	Point, Source string
	id            manifest.ID
}

// Orphans returns the source snapshots that belong to no sealed point; none while the list of snapshots is damaged,
// because what seals a point may be lost from it.
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
		if p := m.Tags[tagPoint]; p != "" && !sealed[p] {
			orphans = append(orphans, Orphan{Point: p, Source: m.Tags[tagSource], id: m.ID})
		}
	}
	return orphans, nil
}

// passOver is kopia's own switch: with it in the environment, kopia lists what it can read and says nothing of the rest.
const passOver = "KOPIA_IGNORE_MALFORMED_MANIFEST_CONTENTS"

// Sweep deletes the orphans of sources whose locks the caller holds, so that no living run owns them, and returns how
// many there were.
func (v *Vault) Sweep(ctx context.Context, sources ...string) (int, error) {
	orphans, err := v.Orphans(ctx)
	if err != nil {
		return 0, err
	}
	var ids []manifest.ID
	for _, o := range orphans {
		if !slices.Contains(sources, o.Source) {
			continue
		}
		if err := v.dropRecord(ctx, o.Point); err != nil {
			return 0, problem.Wrap(err, "sweep vault", v.loc.URL)
		}
		ids = append(ids, o.id)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	if err := v.forget(ctx, ids...); err != nil {
		return 0, problem.Wrap(err, "sweep vault", v.loc.URL)
	}
	return len(ids), nil
}

// Delete removes a point: first its record and what seals it, then its sources, so that a cut leaves orphans and never
// half a point. Its bytes go with Maintain.
func (v *Vault) Delete(ctx context.Context, pointID string) error {
	if err := v.delete(ctx, pointID); err != nil {
		return problem.Wrap(err, "delete point", pointID)
	}
	return nil
}

func (v *Vault) delete(ctx context.Context, pointID string) error {
	m, err := v.sealed(ctx, pointID)
	if err != nil {
		return err
	}
	snaps, lost, err := v.list(ctx, map[string]string{tagPoint: pointID})
	if err != nil {
		return err
	}
	if lost != nil {
		return v.unlisted(ctx, lost)
	}
	if err := v.dropRecord(ctx, pointID); err != nil {
		return err
	}
	if err := v.forget(ctx, m.ID); err != nil {
		return err
	}
	ids := make([]manifest.ID, len(snaps))
	for i, m := range snaps {
		ids[i] = m.ID
	}
	return v.forget(ctx, ids...)
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
