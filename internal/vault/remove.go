package vault

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
)

// removedAtOnce is how many points go together: few enough that a hold is seen soon, enough that flushing costs little.
const removedAtOnce = 50

// Delete removes a point, as its vault's owner for so long.
func (v *Vault) Delete(ctx context.Context, pointID string) error {
	l, err := v.Own(ctx, "removal of point "+pointID, false)
	if err != nil {
		return problem.Wrap(err, "delete point", pointID)
	}
	defer l.Release()
	if err := v.refuseHeld(ctx, pointID); err != nil {
		return problem.Wrap(err, "delete point", pointID)
	}
	_, err = l.Remove(pointID)
	return err
}

// Remove removes points and returns those that are gone; points on hold stay. They are announced; then of each first its record
// goes, then what seals it, then its sources, so that a cut leaves what can be restored, or orphans, and the next owner does the
// rest. Their bytes come back with Maintain.
func (l *Lease) Remove(points ...string) (gone []string, err error) {
	for batch := range slices.Chunk(points, removedAtOnce) {
		some, err := l.removeSome(batch)
		gone = append(gone, some...)
		if err != nil {
			return gone, problem.Wrap(l.failure(err), "remove points of vault", l.v.loc.URL)
		}
	}
	return gone, nil
}

func (l *Lease) removeSome(points []string) (gone []string, err error) {
	r, err := l.v.planRemoval(l.ctx, points)
	if err != nil || len(r.points) == 0 {
		return nil, err
	}
	done, err := l.v.announceRemoval(l.ctx, r.points)
	if err != nil {
		return nil, err
	}
	if err := l.v.carryOut(l.ctx, r); err != nil {
		return nil, err
	}
	return r.points, done()
}

// removal is what is forgotten of points that go together.
type removal struct {
	points         []string
	seals, sources []manifest.ID
}

// planRemoval finds what is to be forgotten of points; those on hold are left out.
func (v *Vault) planRemoval(ctx context.Context, points []string) (r removal, err error) {
	if err := v.refuseLostHolds(ctx); err != nil {
		return r, err
	}
	holds, err := v.Holds(ctx)
	if err != nil {
		return r, err
	}
	snaps, lost, err := v.list(ctx, nil)
	if err != nil {
		return r, err
	}
	if lost != nil {
		return r, v.unlisted(ctx, lost)
	}
	seals, sources := map[string]manifest.ID{}, map[string][]manifest.ID{}
	for _, m := range snaps {
		if id := m.Tags[tagPoint]; m.Tags[tagSource] == pointPath {
			seals[id] = m.ID
		} else {
			sources[id] = append(sources[id], m.ID)
		}
	}
	for _, id := range points {
		seal, sealed := seals[id]
		if _, held := holds[id]; held {
			continue
		}
		if !sealed {
			return r, problem.New(problem.NotFound, "list the points with: holdfast points", "no point %s in vault %s", id, v.loc.URL)
		}
		r.points, r.seals, r.sources = append(r.points, id), append(r.seals, seal), append(r.sources, sources[id]...)
	}
	return r, nil
}

// carryOut forgets of each point first its record, since what has one counts as sealed where kopia cannot tell.
func (v *Vault) carryOut(ctx context.Context, r removal) error {
	for _, id := range r.points {
		if err := v.dropRecord(ctx, id); err != nil {
			return err
		}
	}
	if err := v.forget(ctx, r.seals...); err != nil {
		return err
	}
	return v.forget(ctx, r.sources...)
}

// Sizes returns how many bytes of files each sealed point holds, by point and source, as the list of snapshots tells it.
func (v *Vault) Sizes(ctx context.Context) (map[string]map[string]int64, error) {
	snaps, err := v.snapshots(ctx, nil)
	if err != nil {
		return nil, problem.Wrap(err, "measure points of vault", v.loc.URL)
	}
	sizes := map[string]map[string]int64{}
	for id, p := range gather(snaps) {
		sizes[id] = map[string]int64{}
		for _, m := range p.sources {
			sizes[id][m.Tags[tagSource]] = rootBytes(m)
		}
	}
	return sizes, nil
}

func rootBytes(m *snapshot.Manifest) int64 {
	if m.RootEntry == nil || m.RootEntry.DirSummary == nil {
		return 0
	}
	return m.RootEntry.DirSummary.TotalFileSize
}

// Copies returns the points of v that another vault of the same cloud holds whole, by identity: a copy counts once it was
// proven there, and one whose pieces are in doubt there does not count, nor one whose packs are lost if in was asked for them.
func (v *Vault) Copies(ctx context.Context, in *Vault) (map[string]bool, error) {
	r, err := v.Replica(ctx, in, ReplicaOptions{DryRun: true})
	if err != nil {
		return nil, err
	}
	defer r.Close(ctx)
	whole := map[string]bool{}
	if r.lost != nil {
		return nil, in.unlisted(ctx, r.lost)
	}
	s := v.suspicion(r.doubted, in)
	byTime := slices.SortedFunc(maps.Keys(r.points), func(a, b string) int { return cmp.Compare(r.points[a].seal.StartTime, r.points[b].seal.StartTime) })
	for _, id := range byTime {
		whole[id] = r.holds(r.points[id]) && (s.none() || !s.inDoubt(ctx, r.points[id]))
	}
	return whole, ctx.Err()
}

// inDoubt reports whether anything that a point consists of is suspect, or whether nobody can tell.
func (s *suspicion) inDoubt(ctx context.Context, p *sealedPoint) bool {
	for _, m := range p.all() {
		if is, err := s.against(ctx, m); is || err != nil {
			return true
		}
	}
	return false
}
