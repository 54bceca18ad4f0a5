package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
)

// verifier walks points on an uncached connection of its own.
type verifier struct {
	v     *Vault
	c     contents
	packs *packs
	key   []byte
	opts  VerifyOptions
	close func()
	stop  context.CancelCauseFunc // of what is under way

	snapshots map[identity]*snapshot.Manifest // of the points to verify

	seen    fingerprints         // what the walk found in its place
	missing map[content.ID]error // and what it did not
	objects map[object.ID]error  // the same of an object, which many points may share; of the current walk
	readers errgroup.Group
	doubted contentSet // what the vault remembers as damaged
	sound   contentSet // what of it was read well
	doubts  contentSet // what could not be read
	mu      sync.Mutex // guards what follows
	bad     map[content.ID]error
	rep     Report
	each    map[string]*PointReport
	lost    error // of the list of points

	badRecords map[string]bool // of points
	badHolds   []blob.ID
}

// newVerifier opens the vault once more, with indexes that it reads from the store by itself: they lie in a directory of its own, so that
// they are mapped and not held in memory.
func (v *Vault) newVerifier(ctx context.Context, opts VerifyOptions) (vf *verifier, err error) {
	dir, remove, err := v.scratch()
	if err != nil {
		return nil, err
	}
	r, err := v.connect(ctx, cacheOptions(dir))
	if err != nil {
		remove()
		return nil, v.openProblem(ctx, err)
	}
	closed := func() { _ = r.Close(context.WithoutCancel(ctx)); remove() }
	defer func() {
		if err != nil {
			closed()
		}
	}()
	p, err := listPacks(ctx, v.store)
	if err != nil {
		return nil, err
	}
	fresh := &Vault{loc: v.loc, cloud: v.cloud, store: v.store, repo: r, turns: v.turns}
	doubted, err := fresh.doubted(ctx)
	if err != nil {
		return nil, err
	}
	vf = &verifier{
		v: fresh, c: contentsOf(r), packs: p, key: r.FormatManager().GetHmacSecret(), opts: opts, close: closed,
		snapshots: map[identity]*snapshot.Manifest{},
		seen:      fingerprints{}, missing: map[content.ID]error{}, bad: map[content.ID]error{},
		doubted: doubted, sound: newContentSet(), doubts: newContentSet(), each: map[string]*PointReport{},
		badRecords: map[string]bool{},
	}
	vf.readers.SetLimit(writers())
	return vf, nil
}

// listPacks returns the lengths of all packs, by one listing of the store.
func listPacks(ctx context.Context, st blob.Storage) (*packs, error) {
	p := &packs{store: st, known: map[blob.ID]int64{}}
	return p, p.list(ctx)
}

// idsOf is no id for all points.
func idsOf(pointID string) []string {
	if pointID == "" {
		return nil
	}
	return []string{pointID}
}

// run verifies the points that are named, or all. It ends when the store gives nothing any more.
func (vf *verifier) run(ctx context.Context, ids ...string) (Report, error) {
	ctx, vf.stop = context.WithCancelCause(ctx)
	defer vf.stop(nil)
	rep, err := vf.verify(ctx, ids)
	if ctx.Err() != nil {
		return rep, context.Cause(ctx)
	}
	return rep, err
}

// present reports whether what could not be read is damaged. It is not while the store gives nothing at all, which ends the verification.
func (vf *verifier) present(ctx context.Context, err error) bool {
	if away := vf.v.outage(ctx, err); away != nil {
		vf.stop(away)
	}
	return ctx.Err() == nil
}

func (vf *verifier) verify(ctx context.Context, ids []string) (Report, error) {
	points, err := vf.list(ctx, ids)
	if err != nil {
		return Report{}, err
	}
	if len(ids) == 0 {
		if err := vf.holds(ctx); err != nil {
			return Report{}, err
		}
	}
	vf.walk(ctx, points, vf.examine)
	if err := vf.readers.Wait(); err != nil {
		return vf.report(), err
	}
	if len(vf.bad) > 0 { // name every file that holds what was read in vain
		vf.walk(ctx, points, func(_ context.Context, _ string, id content.ID) error { return vf.bad[id] })
	}
	rep := vf.report()
	rep.Each = vf.reports(points)
	return rep, ctx.Err()
}

// list returns the snapshots that seal the points to verify, and notes those of their sources.
func (vf *verifier) list(ctx context.Context, ids []string) (points []*snapshot.Manifest, err error) {
	labels := map[string]string{}
	if len(ids) == 1 {
		labels[tagPoint] = ids[0]
	}
	snaps, lost, err := vf.v.list(ctx, labels)
	if err != nil {
		return nil, err
	}
	for _, m := range snaps {
		vf.snapshots[identityOf(m)] = m
		if m.Tags[tagSource] == pointPath && (len(ids) == 0 || slices.Contains(ids, m.Tags[tagPoint])) {
			points = append(points, m)
		}
	}
	vf.lost = lost
	if len(ids) == 0 && lost == nil {
		if vf.lost, err = vf.unlisted(ctx, points); err != nil {
			return nil, err
		}
	}
	switch {
	case len(points) == 0 && vf.lost != nil && lost == nil:
		return nil, nil
	case len(points) == 0 && lost != nil:
		return nil, vf.v.unlisted(ctx, lost)
	case len(points) == 0:
		return nil, problem.New(problem.NotFound, "list the points with: holdfast points", "there is no point to verify")
	case lost != nil:
		list, err := vf.v.readList(ctx, vf.v.content)
		if err != nil {
			return nil, err
		}
		for _, id := range list.unreadable {
			vf.doubts.add(id)
		}
		vf.damage(Damage{Source: pointPath, What: "the vault's list of points, which the points' own records stand in for: " + lost.Error()})
	}
	return points, nil
}

// sealing is how young a record may be whose point is not listed yet.
const sealing = 10 * time.Minute

// unlisted finds points that have a record and are not listed: kopia lists nothing of what no index names.
func (vf *verifier) unlisted(ctx context.Context, points []*snapshot.Manifest) (lost, err error) {
	least := sealing
	if len(points) == 0 {
		least = 0
	}
	ids, err := vf.v.recordedOnly(ctx, points, least)
	for _, id := range ids {
		lost = errors.New("the list of points does not have it, but it has a record")
		vf.damage(Damage{Point: id, Source: pointPath, What: lost.Error()})
	}
	return lost, err
}

// recordedOnly returns the ids of the cloud's points that have a record, for longer than some time, and are not among those listed.
func (v *Vault) recordedOnly(ctx context.Context, points []*snapshot.Manifest, least time.Duration) (ids []string, err error) {
	listed := map[blob.ID]bool{}
	for _, m := range points {
		name, err := v.recordName(m.Tags[tagPoint])
		if err != nil {
			return nil, err
		}
		listed[name] = true
	}
	var unlisted []blob.ID
	err = v.store.ListBlobs(ctx, recordBlobs, func(m blob.Metadata) error {
		if !listed[m.BlobID] && (least == 0 || now().Sub(m.Timestamp) > least) {
			unlisted = append(unlisted, m.BlobID)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	for _, name := range unlisted {
		var r record
		if v.kept(ctx, name, &r) != nil || r.Point.Cloud != v.cloud {
			continue // another cloud's, or nothing to go by
		}
		ids = append(ids, r.Point.ID)
	}
	return ids, ctx.Err()
}

// holds reads the holds of all points: of one that cannot be read nobody can tell what it holds.
func (vf *verifier) holds(ctx context.Context) error {
	names, err := vf.v.keptNames(ctx, holdBlobs)
	if err != nil {
		return err
	}
	for _, name := range names {
		var h held
		if err := vf.v.kept(ctx, name, &h); err != nil && !errors.Is(err, blob.ErrBlobNotFound) && vf.present(ctx, err) {
			vf.badHolds = append(vf.badHolds, name)
			vf.damage(Damage{Source: pointPath, File: string(name), What: "the hold of a point: " + err.Error()})
		}
	}
	return ctx.Err()
}

func (vf *verifier) report() Report {
	vf.mu.Lock()
	defer vf.mu.Unlock()
	return vf.rep
}

// reports returns those of the points, in their order.
func (vf *verifier) reports(points []*snapshot.Manifest) (all []PointReport) {
	vf.mu.Lock()
	defer vf.mu.Unlock()
	for _, m := range points {
		if p := vf.each[m.Tags[tagPoint]]; p != nil {
			all = append(all, *p)
		}
	}
	return all
}

// of returns the report of a point.
func (vf *verifier) of(id string) *PointReport {
	p := vf.each[id]
	if p == nil {
		p = &PointReport{Point: id}
		vf.each[id] = p
	}
	return p
}

// walk visits every content of the points once per file, and reports as damaged what visit refuses.
func (vf *verifier) walk(ctx context.Context, points []*snapshot.Manifest, visit visitor) {
	vf.mu.Lock()
	vf.rep.Points, vf.rep.Files = 0, 0
	for _, p := range vf.each {
		p.Files = 0
	}
	vf.mu.Unlock()
	vf.objects = map[object.ID]error{}
	for _, m := range points {
		if ctx.Err() != nil {
			return
		}
		w := &pointWalk{vf: vf, visit: visit, id: m.Tags[tagPoint]}
		w.point(ctx, m)
		vf.mu.Lock()
		vf.rep.Points++
		vf.mu.Unlock()
	}
}

// visitor is told of each content of a point.
type visitor func(ctx context.Context, pointID string, id content.ID) error

// examine finds a content and its pack, and sends it to be read if it was chosen.
func (vf *verifier) examine(ctx context.Context, pointID string, id content.ID) error {
	if err, ok := vf.missing[id]; ok || vf.seen.has(id) {
		return err
	}
	info, err := vf.packs.holds(ctx, vf.c, id)
	if err != nil {
		if vf.present(ctx, err) {
			vf.missing[id] = err
		}
		return err
	}
	vf.seen.add(id)
	vf.mu.Lock()
	vf.rep.Contents++
	vf.rep.Bytes += int64(info.PackedLength)
	of := vf.of(pointID)
	of.Contents++
	of.Bytes += int64(info.PackedLength)
	vf.mu.Unlock()
	if vf.chosen(info) || vf.doubted.has(id) {
		vf.readers.Go(func() error { return vf.read(ctx, of, id, int64(info.PackedLength)) })
	}
	return nil
}

func (vf *verifier) knownWell(id content.ID) bool {
	vf.mu.Lock()
	defer vf.mu.Unlock()
	_, ok := vf.opts.well[id]
	return ok
}

// chosen reports whether a content is to be read.
func (vf *verifier) chosen(info content.Info) bool {
	if vf.knownWell(info.ContentID) {
		return false
	}
	switch {
	case vf.opts.Depth != Sample:
		return vf.opts.Depth == Full
	case vf.opts.Due != nil:
		return vf.opts.Due(string(info.PackBlobID))
	}
	return rand.Float64()*100 < vf.opts.Percent
}

func (vf *verifier) read(ctx context.Context, of *PointReport, id content.ID, length int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := guard(func() error { return vf.v.check(ctx, vf.c, vf.key, id) })
	if err != nil && !vf.present(ctx, err) {
		return ctx.Err()
	}
	vf.mu.Lock()
	vf.rep.Read++
	vf.rep.ReadBytes += length
	of.Read++
	of.ReadBytes += length
	switch {
	case err == nil && vf.doubted.has(id):
		vf.sound.add(id)
	case err != nil:
		vf.bad[id] = err
		vf.doubts.add(id)
	case err == nil && vf.opts.well != nil:
		vf.opts.well[id] = struct{}{}
	}
	rep := vf.rep
	vf.mu.Unlock()
	if vf.opts.Progress != nil {
		vf.opts.Progress(rep)
	}
	return ctx.Err()
}

// guard turns a panic over damaged data into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged data: %v", p)
		}
	}()
	return f()
}

func (vf *verifier) damage(d Damage) {
	vf.mu.Lock()
	defer vf.mu.Unlock()
	for _, old := range vf.rep.Damaged {
		if old.Point == d.Point && old.Source == d.Source && old.File == d.File && old.Component == d.Component {
			return
		}
	}
	if d.Point != "" {
		vf.of(d.Point).Damaged++
	}
	if len(vf.rep.Damaged) < mostDamages {
		vf.rep.Damaged = append(vf.rep.Damaged, d)
	}
}
