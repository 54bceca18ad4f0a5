package vault

import (
	"context"
	"os"

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

// Sweep deletes those orphans whose source nobody writes at the moment; keep, if not nil, spares a point. It returns
// what it deleted.
func (v *Vault) Sweep(ctx context.Context, keep func(Orphan) bool) ([]Orphan, error) {
	orphans, err := v.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	var swept []Orphan
	for _, o := range orphans {
		if keep != nil && keep(o) {
			continue
		}
		gone, err := v.sweep(ctx, o)
		if err != nil {
			return swept, problem.Wrap(err, "sweep", o.Source+" of point "+o.Point)
		}
		if gone {
			swept = append(swept, o)
		}
	}
	return swept, nil
}

// sweep deletes one orphan, unless its run is alive, or sealed the point after the orphans had been listed.
func (v *Vault) sweep(ctx context.Context, o Orphan) (gone bool, err error) {
	unlock, err := v.Lock(o.Source)
	if err != nil {
		if problem.KindOf(err) == problem.Busy {
			err = nil
		}
		return false, err
	}
	defer unlock()
	if _, err := v.sealed(ctx, o.Point); problem.KindOf(err) != problem.NotFound {
		return false, err
	}
	if err := v.dropRecord(ctx, o.Point); err != nil {
		return false, err
	}
	return true, v.forget(ctx, o.id)
}

// Delete removes a point: first its record and what seals it, then its sources, so that a cut leaves orphans and never half a point.
// Its bytes go with Maintain.
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
