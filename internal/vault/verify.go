package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
)

// Depth says how much of the data a verification reads.
type Depth int

// Structure reads the directories and indexes, finds every content and pack, and reads what was found damaged before;
// Sample also reads and hashes a share of the contents; Full reads all of them.
const (
	Structure Depth = iota
	Sample
	Full
)

// VerifyOptions choose a verification. Percent is Sample's share of the contents; Progress, if not nil, is called from
// several goroutines with what was done so far.
type VerifyOptions struct {
	Depth    Depth
	Percent  float64
	Progress func(Report)
}

// Damage is one thing that is not as it should be. File is empty when a whole component or source is meant.
type Damage struct {
	Point     string `json:"point"`
	Source    string `json:"source"`
	Component string `json:"component"`
	File      string `json:"file"`
	What      string `json:"what"`
}

// Report says what a verification saw. Bytes are those of the contents as stored; Read and ReadBytes count the
// contents that were read and hashed.
type Report struct {
	Points    int      `json:"points"`
	Files     int64    `json:"files"`
	Contents  int      `json:"contents"`
	Bytes     int64    `json:"bytes"`
	Read      int      `json:"read"`
	ReadBytes int64    `json:"read_bytes"`
	Damaged   []Damage `json:"damaged"`
	// Note says why the vault does not remember what was found, when it does not.
	Note string `json:"note,omitempty"`
}

// mostDamages bounds a report; a broken disk would fill it with every file.
const mostDamages = 1000

// Verify checks one point, or all of them when pointID is "". It reads from the store and never from the cache. Damage
// is reported and also a problem of kind Damage; a vault without the point, or without any, is a problem of kind
// NotFound. The vault remembers which contents cannot be read, so that no later session shares them.
func (v *Vault) Verify(ctx context.Context, pointID string, opts VerifyOptions) (Report, error) {
	vf, err := v.newVerifier(ctx, opts)
	if err != nil {
		return Report{}, problem.Wrap(err, "verify vault", v.loc.URL)
	}
	defer vf.v.repo.Close(ctx)
	rep, err := vf.run(ctx, pointID)
	if ferr := vf.remember(context.WithoutCancel(ctx)); ferr != nil {
		rep.Note = "the vault does not remember this: " + ferr.Error()
	}
	switch {
	case err != nil:
		return rep, problem.Wrap(err, "verify vault", v.loc.URL)
	case len(rep.Damaged) > 0:
		d := rep.Damaged[0]
		return rep, problem.New(problem.Damage, DamageHint,
			"verify vault %s: %d damaged, first %s %s %s: %s", v.loc.URL, len(rep.Damaged), d.Point, d.Component, d.File, d.What)
	}
	return rep, nil
}

// DamageHint says what to do about damaged data.
const DamageHint = "the next backup writes anew what its sources still hold of it, and so mends the earlier points; until then " +
	"restore from another point or tier; keep this vault's disk for analysis"

// verifier walks points on an uncached connection of its own.
type verifier struct {
	v     *Vault
	c     contents
	packs *packs
	key   []byte
	opts  VerifyOptions

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
}

func (v *Vault) newVerifier(ctx context.Context, opts VerifyOptions) (*verifier, error) {
	r, err := v.connect(ctx, &content.CachingOptions{})
	if err != nil {
		return nil, v.openProblem(ctx, err)
	}
	p, err := listPacks(ctx, v.store)
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	fresh := &Vault{loc: v.loc, cloud: v.cloud, store: v.store, repo: r, turns: v.turns}
	doubted, err := fresh.doubted(ctx)
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	vf := &verifier{
		v: fresh, c: contentsOf(r), packs: p, key: r.FormatManager().GetHmacSecret(), opts: opts,
		snapshots: map[identity]*snapshot.Manifest{},
		seen:      fingerprints{}, missing: map[content.ID]error{}, bad: map[content.ID]error{},
		doubted: doubted, sound: newContentSet(), doubts: newContentSet(),
	}
	vf.readers.SetLimit(writers())
	return vf, nil
}

// listPacks returns the lengths of all packs, by one listing of the store.
func listPacks(ctx context.Context, st blob.Storage) (*packs, error) {
	p := &packs{store: st, known: map[blob.ID]int64{}}
	return p, p.list(ctx)
}

func (vf *verifier) run(ctx context.Context, pointID string) (Report, error) {
	points, err := vf.list(ctx, pointID)
	if err != nil {
		return Report{}, err
	}
	vf.walk(ctx, points, vf.examine)
	if err := vf.readers.Wait(); err != nil {
		return vf.report(), err
	}
	if len(vf.bad) > 0 { // name every file that holds what was read in vain
		vf.walk(ctx, points, func(_ context.Context, id content.ID) error { return vf.bad[id] })
	}
	return vf.report(), ctx.Err()
}

// list returns the snapshots that seal the points to verify, and notes those of their sources.
func (vf *verifier) list(ctx context.Context, pointID string) (points []*snapshot.Manifest, err error) {
	labels := map[string]string{}
	if pointID != "" {
		labels[tagPoint] = pointID
	}
	snaps, lost, err := vf.v.list(ctx, labels)
	if err != nil {
		return nil, err
	}
	for _, m := range snaps {
		vf.snapshots[identityOf(m)] = m
		if m.Tags[tagSource] == pointPath {
			points = append(points, m)
		}
	}
	switch {
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
		vf.damage(Damage{Point: pointID, Source: pointPath, What: "the vault's list of points, which the points' own records stand in for: " + lost.Error()})
	}
	return points, nil
}

func (vf *verifier) report() Report {
	vf.mu.Lock()
	defer vf.mu.Unlock()
	return vf.rep
}

// walk visits every content of the points once per file, and reports as damaged what visit refuses.
func (vf *verifier) walk(ctx context.Context, points []*snapshot.Manifest, visit visitor) {
	vf.mu.Lock()
	vf.rep.Points, vf.rep.Files = 0, 0
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

type visitor func(context.Context, content.ID) error

// examine finds a content and its pack, and sends it to be read if it was chosen.
func (vf *verifier) examine(ctx context.Context, id content.ID) error {
	if err, ok := vf.missing[id]; ok || vf.seen.has(id) {
		return err
	}
	info, err := vf.packs.holds(ctx, vf.c, id)
	if err != nil {
		vf.missing[id] = err
		return err
	}
	vf.seen.add(id)
	vf.mu.Lock()
	vf.rep.Contents++
	vf.rep.Bytes += int64(info.PackedLength)
	vf.mu.Unlock()
	if vf.chosen() || vf.doubted.has(id) {
		vf.readers.Go(func() error { return vf.read(ctx, id, int64(info.PackedLength)) })
	}
	return nil
}

func (vf *verifier) chosen() bool {
	return vf.opts.Depth == Full || vf.opts.Depth == Sample && rand.Float64()*100 < vf.opts.Percent
}

func (vf *verifier) read(ctx context.Context, id content.ID, length int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := guard(func() error { return vf.c.check(ctx, vf.key, id) })
	vf.mu.Lock()
	vf.rep.Read++
	vf.rep.ReadBytes += length
	switch {
	case err == nil && vf.doubted.has(id):
		vf.sound.add(id)
	case err != nil && ctx.Err() == nil:
		vf.bad[id] = err
		vf.doubts.add(id)
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
	if len(vf.rep.Damaged) < mostDamages {
		vf.rep.Damaged = append(vf.rep.Damaged, d)
	}
}
