package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// What is copied lasts from the next flush on, so that an interruption costs no more than this.
var (
	flushBytes int64 = 512 << 20
	flushEvery       = 15 * time.Second
)

const (
	// lastFlush is how long an interrupted copy tries to keep what it has copied.
	lastFlush = 30 * time.Second
	// packsAsked is how many packs are asked for one by one; from then on all of them are listed, by far fewer requests.
	packsAsked = 128
)

// mostTries is how often a point is copied at most while each try finds something else damaged in the second vault.
const mostTries = 20

// carrier copies the contents of one point.
type carrier struct {
	r     *Replica
	group *errgroup.Group

	manifest point.Point
	sources  []Source

	mu     sync.Mutex // guards what follows
	flying map[content.ID]bool
	sum    Copied
}

// Copy copies one point, proves that the second vault holds all of it, and seals it there. What the first vault cannot give
// is named in the result, which is then a problem of kind Damage, and the point is not sealed; all else of it is copied. What
// the second vault turns out to have damaged, from points that are gone, is written anew.
func (r *Replica) Copy(ctx context.Context, pointID string) (Copied, error) {
	p := r.points[pointID]
	if p == nil {
		return Copied{}, problem.New(problem.NotFound, "list the points with: holdfast points", "no point %s in vault %s", pointID, r.from.loc.URL)
	}
	ctx = context.WithValue(ctx, recorderKey{}, r.rec)
	c := &carrier{r: r, flying: map[content.ID]bool{}, sum: Copied{Point: pointID}}
	err := c.copy(ctx, p)
	for tries := 1; errors.Is(err, errDoubted) && tries < mostTries; tries++ {
		err = c.copy(ctx, p)
	}
	if err != nil {
		r.salvage(ctx)
		return c.sum, problem.Wrap(r.to.failure(r.from.failure(err)), "copy point "+pointID+" to", r.to.loc.URL)
	}
	return c.sum, nil
}

// salvage keeps what was copied before an error or an interruption, if the vault can still be written to.
func (r *Replica) salvage(ctx context.Context) {
	if r.w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	if r.w.Flush(ctx) == nil {
		_ = r.to.store.sync()
	}
}

func (c *carrier) copy(ctx context.Context, p *sealedPoint) error {
	if root, ok := c.r.sealed[c.sum.Point]; ok && root != p.seal.RootObjectID() {
		return problem.New(problem.Failed, "look at both with holdfast show and --tier", "it holds another point of this name")
	}
	if err := c.read(ctx, p); err != nil {
		return err
	}
	if err := c.carryAll(ctx, p); err != nil {
		return err
	}
	if len(c.sum.Damaged) > 0 {
		c.name()
		d := c.sum.Damaged[0]
		return problem.New(problem.Damage, "the rest of it is copied; the next backup writes anew what its sources still hold, and the next replication copies that",
			"%d damaged in vault %s, first %s %s %s: %s", len(c.sum.Damaged), c.r.from.loc.URL, d.Source, d.Component, d.File, d.What)
	}
	if !c.r.opts.DryRun {
		if err := c.r.flush(ctx); err != nil {
			return err
		}
		if err := c.prove(ctx, p); err != nil {
			return fmt.Errorf("%w: %w", errUnproven, err)
		}
		if err := c.seal(ctx, p); err != nil {
			return err
		}
	}
	for _, m := range p.all() {
		c.r.hold(m)
	}
	return nil
}

// read reads what the point says of itself, and demands the snapshots that it names.
func (c *carrier) read(ctx context.Context, p *sealedPoint) error {
	for name, into := range map[string]any{manifestName: &c.manifest, sourcesName: &c.sources} {
		if err := guard(func() error { return c.r.from.loadJSON(ctx, p.seal, name, into) }); err != nil {
			return c.damage(ctx, place{pointPath, name}, err)
		}
	}
	roots := map[string]object.ID{}
	for _, m := range p.sources {
		roots[m.Tags[tagSource]] = m.RootObjectID()
	}
	for _, s := range c.sources {
		if roots[s.Source] != s.Root {
			return c.damage(ctx, place{s.Source, ""}, errors.New("there is no snapshot with the root that the point names"))
		}
	}
	return nil
}

// carryAll copies what the second vault lacks of a point.
func (c *carrier) carryAll(ctx context.Context, p *sealedPoint) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(c.r.opts.Parallel)
	c.group = group
	d := difference{
		tree: contentsOf(c.r.from.repo), base: []contents{contentsOf(c.r.from.repo), contentsOf(c.r.to.repo)},
		visit: c.want, broken: c.unreadable,
	}
	var err error
	for _, m := range p.all() {
		if c.r.held[identityOf(m)] != nil && c.r.doubted.len() == 0 {
			continue // of an earlier try, which was proven
		}
		if err = d.entry(gctx, m.RootEntry, c.r.base(m), place{m.Tags[tagSource], "."}); err != nil {
			break
		}
	}
	if werr := group.Wait(); werr != nil { // the reason why the walk ended
		return werr
	}
	return err
}

// want has a content copied unless it is there or on its way.
func (c *carrier) want(ctx context.Context, id content.ID, at place) error {
	lacks, err := c.r.lacks(ctx, id)
	if err != nil || !lacks || !c.begin(id) {
		return err
	}
	if c.r.opts.DryRun {
		info, err := c.r.from.repo.ContentReader().ContentInfo(ctx, id)
		if err != nil {
			return c.damage(ctx, at, fmt.Errorf("find content %v: %w", id, err))
		}
		c.count(int64(info.PackedLength))
		return nil
	}
	c.group.Go(func() error {
		defer c.end(id)
		return c.carry(ctx, id, at)
	})
	return nil
}

// begin reports whether nobody copies the content yet.
func (c *carrier) begin(id content.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.r.opts.DryRun {
		return c.r.seen.add(id)
	}
	if c.flying[id] {
		return false
	}
	c.flying[id] = true
	return true
}

func (c *carrier) end(id content.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flying, id)
}

// carry copies one content. One that cannot be read is noted as damage and no error.
func (c *carrier) carry(ctx context.Context, id content.ID, at place) error {
	info, err := c.r.from.repo.ContentReader().ContentInfo(ctx, id)
	if err != nil {
		return c.damage(ctx, at, fmt.Errorf("find content %v: %w", id, err))
	}
	if c.r.opts.Spend != nil {
		if err := c.r.opts.Spend(ctx, int(info.PackedLength)); err != nil {
			return err
		}
	}
	var data []byte
	err = guard(func() error {
		data, err = c.r.from.content(ctx, info)
		return err
	})
	if err != nil {
		return c.damage(ctx, at, err, id)
	}
	if err := c.r.write(ctx, id, data, compression.HeaderIDToName[info.CompressionHeaderID]); err != nil {
		return fmt.Errorf("write content %v: %w", id, err)
	}
	c.count(int64(info.PackedLength))
	return c.r.keep(ctx, int64(info.PackedLength))
}

func (c *carrier) count(bytes int64) {
	c.mu.Lock()
	c.sum.Contents++
	c.sum.Bytes += bytes
	sum := c.sum
	c.mu.Unlock()
	if c.r.opts.Progress != nil {
		c.r.opts.Progress(sum)
	}
}

// unreadable notes a directory or an index that cannot be read.
func (c *carrier) unreadable(ctx context.Context, id object.ID, at place, err error) error {
	return c.damage(ctx, at, err, contentsOf(c.r.from.repo).known(ctx, id)...)
}

// damage notes what the first vault cannot give, unless the copy was interrupted, or the vault gives nothing any more. What was read in
// vain it remembers, if it can.
func (c *carrier) damage(ctx context.Context, at place, err error, read ...content.ID) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if away := c.r.from.outage(ctx, err); away != nil {
		return away
	}
	if doubtful(ctx, err) {
		_ = c.r.from.doubt(ctx, read...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.sum.Damaged {
		if d.Source == at.source && d.File == at.file {
			return nil
		}
	}
	if len(c.sum.Damaged) < mostDamages {
		c.sum.Damaged = append(c.sum.Damaged, Damage{Point: c.sum.Point, Source: at.source, File: at.file, What: err.Error()})
	}
	return nil
}

// name says which components the damaged files belong to.
func (c *carrier) name() {
	for i := range c.sum.Damaged {
		d := &c.sum.Damaged[i]
		longest := -1
		for _, k := range c.manifest.Components {
			in := k.Path == d.File || strings.HasPrefix(d.File, k.Path+"/")
			if k.Source == d.Source && k.Path != "" && in && len(k.Path) > longest {
				longest, d.Component = len(k.Path), k.Name
			}
		}
	}
}
