package vault

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// ReplicaOptions choose how points are copied.
type ReplicaOptions struct {
	// Parallel is how many contents are on their way at once; 0 is 16.
	Parallel int
	// DryRun only counts what would be copied.
	DryRun bool
	// Spend, if not nil, is asked before so many bytes are sent, and waits while there are too many.
	Spend func(ctx context.Context, bytes int) error
	// Progress, if not nil, is told now and then what was copied of a point so far, from several goroutines.
	Progress func(Copied)
}

const replicaParallel = 16

// Sealed is a point as the list of a vault's snapshots tells it.
type Sealed struct {
	ID    string
	State point.State
	At    time.Time // when it was sealed
	// Sources are those that it holds something of.
	Sources []string
}

// Copied says what the copy of a point took. Bytes are those of the contents as the first vault stores them; Proven is how
// many contents were found in the second one, ReadBack how many of them were read there and hashed.
type Copied struct {
	Point    string   `json:"point"`
	Contents int      `json:"contents"`
	Bytes    int64    `json:"bytes"`
	Proven   int      `json:"proven"`
	ReadBack int      `json:"read_back"`
	Mended   int      `json:"mended"`            // contents that the second vault had lost or damaged, and has again
	Damaged  []Damage `json:"damaged,omitempty"` // what the first vault could not give
}

// Replica brings the points of one vault into another of the same cloud. Both name contents alike, so that exactly those are
// read and sent that the second one lacks.
type Replica struct {
	from, to *Vault
	opts     ReplicaOptions

	points map[string]*sealedPoint         // of from
	held   map[identity]*snapshot.Manifest // by to
	sealed map[string]object.ID            // roots of the points in to
	bases  map[string][]*snapshot.Manifest // what is whole in to, by source
	lost   error                           // of to's list
	onHold map[string]point.Hold           // in from, by point
	w      repo.DirectRepositoryWriter     // nil in a dry run
	rec    *recorder
	packs  *packs // of to

	seen    fingerprints // what a dry run has counted
	doubted contentSet   // in to
	mended  contentSet   // that were lost in to, or in doubt, and are no more
	anew    atomic.Int64 // contents that were lost in to, since it was told last

	mu        sync.Mutex // guards the time and size of what is not flushed
	flushed   time.Time
	unflushed int64
}

// sealedPoint is what makes up a point: the snapshots of its sources and the one that seals it.
type sealedPoint struct {
	sources []*snapshot.Manifest
	seal    *snapshot.Manifest
}

func (p *sealedPoint) all() []*snapshot.Manifest { return append(slices.Clone(p.sources), p.seal) }

// Replica compares the points of v with those of another vault. Vaults that name contents differently are a problem of kind
// Usage.
func (v *Vault) Replica(ctx context.Context, to *Vault, opts ReplicaOptions) (*Replica, error) {
	r, err := v.replica(ctx, to, opts)
	if err != nil {
		return nil, problem.Wrap(to.failure(v.failure(err)), "replicate vault", v.loc.URL+" to "+to.loc.URL)
	}
	return r, nil
}

func (v *Vault) replica(ctx context.Context, to *Vault, opts ReplicaOptions) (*Replica, error) {
	if !bytes.Equal(v.repo.FormatManager().GetHmacSecret(), to.repo.FormatManager().GetHmacSecret()) || v.cloud != to.cloud {
		return nil, problem.New(problem.Usage, "make the second vault anew, in an empty place, with: holdfast init",
			"the vaults are not of one cloud: they do not share the secret by which contents are named")
	}
	if opts.Parallel == 0 {
		opts.Parallel = replicaParallel
	}
	r := &Replica{
		from: v, to: to, opts: opts, rec: newRecorder(), flushed: time.Now(), mended: newContentSet(), seen: fingerprints{},
		held: map[identity]*snapshot.Manifest{}, sealed: map[string]object.ID{}, bases: map[string][]*snapshot.Manifest{},
		packs: &packs{store: to.store, known: map[blob.ID]int64{}},
	}
	if err := r.compare(ctx); err != nil {
		return nil, err
	}
	if !opts.DryRun {
		_, w, err := to.repo.NewDirectWriter(context.WithValue(ctx, recorderKey{}, r.rec), repo.WriteSessionOptions{Purpose: "replicate"})
		if err != nil {
			return nil, err
		}
		r.w, r.packs.revive = w, w.ContentManager().UndeleteContent
	}
	return r, nil
}

// compare lists what both vaults hold. They are asked at the same time, since either may be far away.
func (r *Replica) compare(ctx context.Context) error {
	var there []*snapshot.Manifest
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		snaps, _, err := r.from.list(gctx, nil)
		r.points = gather(snaps)
		return err
	})
	g.Go(func() (err error) { there, r.lost, err = r.to.list(gctx, nil); return err })
	g.Go(func() (err error) { r.doubted, err = r.to.doubted(gctx); return err })
	g.Go(func() (err error) {
		if r.onHold, err = r.from.Holds(gctx); err != nil {
			r.onHold = nil // verify tells of one that is damaged; what it held is copied without it
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, m := range there {
		if m.Tags[tagCheckpoint] == "" {
			r.hold(m)
		}
	}
	return nil
}

// hold notes a snapshot that is whole in the second vault.
func (r *Replica) hold(m *snapshot.Manifest) {
	r.held[identityOf(m)] = m
	r.bases[m.Tags[tagSource]] = append(r.bases[m.Tags[tagSource]], m)
	if m.Tags[tagSource] == pointPath {
		r.sealed[m.Tags[tagPoint]] = m.RootObjectID()
	}
}

// gather returns the sealed points that snapshots make up, oldest first.
func gather(snaps []*snapshot.Manifest) map[string]*sealedPoint {
	points := map[string]*sealedPoint{}
	for _, m := range snaps {
		if m.Tags[tagSource] == pointPath {
			points[m.Tags[tagPoint]] = &sealedPoint{seal: m}
		}
	}
	for _, m := range snaps {
		p := points[m.Tags[tagPoint]]
		if p == nil || m == p.seal || m.Tags[tagCheckpoint] != "" || m.Tags[tagSource] == pointPath {
			continue
		}
		p.sources = slices.DeleteFunc(p.sources, func(old *snapshot.Manifest) bool { return old.Tags[tagSource] == m.Tags[tagSource] })
		p.sources = append(p.sources, m)
	}
	return points
}

// Has reports whether the first vault holds a point.
func (r *Replica) Has(pointID string) bool { return r.points[pointID] != nil }

// Held is how many of the points the second vault holds.
func (r *Replica) Held() int { return len(r.points) - len(r.Lacking()) }

// Lacking returns the points that the second vault does not hold as the first does, newest first: should the way to it be
// slow, or end, the one that matters most is there.
func (r *Replica) Lacking() (points []Sealed) {
	for id, p := range r.points {
		if !r.holds(p) {
			s := Sealed{ID: id, State: point.State(p.seal.Tags[tagState]), At: p.seal.StartTime.ToTime().UTC()}
			for _, m := range p.sources {
				s.Sources = append(s.Sources, m.Tags[tagSource])
			}
			points = append(points, s)
		}
	}
	slices.SortFunc(points, func(a, b Sealed) int { return b.At.Compare(a.At) })
	return points
}

func (r *Replica) holds(p *sealedPoint) bool {
	for _, m := range p.all() {
		if r.held[identityOf(m)] == nil {
			return false
		}
	}
	return true
}

// base returns what the second vault holds of a source that is nearest in time to m and therefore the most alike, or nil.
// While anything there is in doubt nothing counts as whole, and all that a point consists of is looked at.
func (r *Replica) base(m *snapshot.Manifest) (nearest *snapshot.DirEntry) {
	if r.doubted.len() > 0 || r.lost != nil {
		return nil
	}
	least := time.Duration(-1)
	for _, b := range r.bases[m.Tags[tagSource]] {
		if apart := b.StartTime.Sub(m.StartTime).Abs(); least < 0 || apart < least {
			least, nearest = apart, b.RootEntry
		}
	}
	return nearest
}

// Close ends the replication. What was copied of a point that is not sealed stays, and the next replication finds it.
func (r *Replica) Close(ctx context.Context) error {
	if r.w == nil {
		return nil
	}
	err := r.w.Close(context.WithValue(ctx, recorderKey{}, r.rec))
	if r.lost != nil {
		err = errors.Join(err, r.to.mendList(ctx, r.lost))
	}
	return r.to.failure(err)
}
