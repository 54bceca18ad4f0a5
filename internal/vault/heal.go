package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/content"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
)

// Healing says what was found damaged in a vault and what was done about it. What stays damaged is in the Report of the last
// look.
type Healing struct {
	Report
	// Found is what the first look found damaged.
	Found []Damage `json:"found"`
	// Contents and their Bytes, as they are stored, were written anew; From says how many came from which tier.
	Contents int            `json:"healed_contents"`
	Bytes    int64          `json:"healed_bytes"`
	From     map[string]int `json:"healed_from"`
	// Mended tells in words what else was put right.
	Mended []string `json:"mended"`
}

const (
	// healAtOnce is how many contents are written anew and read back before the next: what an interruption costs.
	healAtOnce = 512
	// healRounds bounds how often damage is looked for again. Each round finds what the directories hold that the one
	// before it wrote anew.
	healRounds = 100
)

// healer heals one vault from others.
type healer struct {
	v      *Vault
	others []*Vault
	opts   VerifyOptions
	sum    Healing

	named    bool       // what the packs hold that no index speaks of
	begun    bool       // a new list of points
	searched bool       // all packs for what no index names
	cut      contentSet // what lies in packs that are too short, and may be whole yet

	mu sync.Mutex // guards sum while contents are written
}

// Heal verifies one point, or all of them when pointID is "", and writes anew what is damaged and another vault of the cloud
// has, under the same names; it reads back what it wrote. What stays damaged is a problem of kind Damage, as Verify's. Backups
// may run meanwhile; while somebody else owns the vault, another healing or prune, it is a problem of kind Busy.
func (v *Vault) Heal(ctx context.Context, pointID string, others []*Vault, opts VerifyOptions) (Healing, error) {
	opts.well = map[content.ID]struct{}{}
	h := &healer{v: v, opts: opts, sum: Healing{Found: []Damage{}, From: map[string]int{}, Mended: []string{}}}
	for _, o := range others {
		if !bytes.Equal(v.repo.FormatManager().GetHmacSecret(), o.repo.FormatManager().GetHmacSecret()) {
			return h.sum, problem.New(problem.Usage, "make the second vault anew, in an empty place, with: holdfast init",
				"vault %s and vault %s are not of one cloud: they do not share the secret by which contents are named", v.loc.URL, o.loc.URL)
		}
		h.others = append(h.others, o)
	}
	lease, err := v.Own(ctx, "heal", false)
	if err != nil {
		return h.sum, err
	}
	defer lease.Release()
	if err := h.run(lease.Context(), pointID); err != nil {
		return h.sum, problem.Wrap(v.failure(err), "heal vault", v.loc.URL)
	}
	return h.sum, v.damaged(h.sum.Report)
}

func (h *healer) run(ctx context.Context, pointID string) error {
	ids := idsOf(pointID)
	for round := range healRounds {
		vf, err := h.look(ctx, round, ids)
		if err != nil {
			return err
		}
		progress, err := h.mend(ctx, vf)
		if err != nil || !progress {
			return err
		}
	}
	return nil
}

// look verifies what is to be healed: first all of it, then what was damaged. The report of what is whole stays that of the
// first look.
func (h *healer) look(ctx context.Context, round int, ids []string) (*verifier, error) {
	opts := h.opts
	if round > 0 {
		if opts.Depth == Sample {
			opts.Depth = Structure // a sample was read
		}
		var err error
		if ids, err = h.harmed(ctx, ids); err != nil {
			return nil, err
		}
	}
	vf, err := h.verifier(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer vf.close()
	rep, err := vf.run(ctx, ids...)
	if errors.Is(err, errNothingLeft) && !h.begun {
		h.begun = true
		if err := h.v.mendList(ctx, err); err != nil {
			return nil, fmt.Errorf("begin a list of points: %w", err)
		}
		h.note("the list of points was lost, and every record with it: it is begun anew, and holdfast replicate --from brings the points of another tier")
		return h.look(ctx, round, ids)
	}
	if rerr := vf.remember(context.WithoutCancel(ctx)); rerr != nil && err == nil {
		return nil, fmt.Errorf("remember what is damaged: %w", rerr)
	}
	if err != nil {
		return nil, err
	}
	if round == 0 {
		h.sum.Report, h.sum.Found = rep, slices.Clone(rep.Damaged)
		return vf, nil
	}
	h.sum.Damaged = rep.Damaged
	for i, e := range h.sum.Each {
		now := slices.IndexFunc(rep.Each, func(p PointReport) bool { return p.Point == e.Point })
		if now >= 0 {
			h.sum.Each[i].Damaged = rep.Each[now].Damaged
		}
	}
	return vf, nil
}

// verifier opens the vault anew. When only the cache of a damaged index opened it before, that index is dropped, and what it named
// is named again.
func (h *healer) verifier(ctx context.Context, opts VerifyOptions) (*verifier, error) {
	vf, err := h.v.newVerifier(ctx, opts)
	if err == nil || ctx.Err() != nil {
		return vf, err
	}
	done, derr := h.v.dropBadIndexes(ctx, h.v.state())
	if derr != nil || len(done) == 0 {
		return nil, errors.Join(err, derr)
	}
	h.sum.Mended = append(h.sum.Mended, done...)
	if _, derr := h.nameAgain(ctx, true); derr != nil {
		return nil, errors.Join(err, derr)
	}
	return h.v.newVerifier(ctx, opts)
}

// state is the directory that outlives the process, if there is one.
func (v *Vault) state() string {
	if v.temp {
		return ""
	}
	return filepath.Dir(v.cache)
}

// harmed returns the points that are damaged yet, or ids when none is.
func (h *healer) harmed(ctx context.Context, ids []string) (harmed []string, err error) {
	gone, err := h.gone(ctx)
	if err != nil {
		return nil, err
	}
	h.sum.Each = slices.DeleteFunc(h.sum.Each, func(p PointReport) bool { return slices.Contains(gone, p.Point) })
	for _, e := range h.sum.Each {
		if e.Damaged > 0 {
			harmed = append(harmed, e.Point)
		}
	}
	if len(harmed) == 0 {
		return ids, nil
	}
	return harmed, nil
}

// gone are the points of the report that are neither listed nor recorded any more: they had been removed, and were seen again only as
// long as the list had lost that.
func (h *healer) gone(ctx context.Context) ([]string, error) {
	snaps, _, err := h.v.list(ctx, map[string]string{tagSource: pointPath})
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, m := range snaps {
		listed[m.Tags[tagPoint]] = true
	}
	var unlisted []string
	for _, e := range h.sum.Each {
		if !listed[e.Point] {
			unlisted = append(unlisted, e.Point)
		}
	}
	return h.v.unrecorded(ctx, unlisted)
}

// mend puts right what a look has found, and reports whether another one may find more of it whole.
func (h *healer) mend(ctx context.Context, vf *verifier) (progress bool, err error) {
	if vf.lost != nil && !h.named { // the list may be in a pack that no index names
		h.named = true
		if named, err := h.nameAgain(ctx, false); err != nil || named {
			return named, err
		}
	}
	if vf.lost != nil {
		if err := h.v.mendList(ctx, vf.lost); err != nil {
			return false, fmt.Errorf("mend the list of points: %w", err)
		}
		h.note("the list of points was written anew")
		return true, nil // which points there are is known now
	}
	own, err := h.mendOwn(ctx, vf)
	if err != nil {
		return false, err
	}
	named, err := h.nameLost(ctx, vf, false)
	if err != nil || named {
		return named, err
	}
	h.cut = vf.cut()
	n, err := h.rewriteAll(ctx, vf.lostContents())
	if err != nil || own || n > 0 {
		return err == nil, err
	}
	return h.nameLost(ctx, vf, true)
}

func (h *healer) note(text string) { h.sum.Mended = append(h.sum.Mended, text) }

// nameLost looks in packs for what no index names: in those that no index speaks of, or, once, in all.
func (h *healer) nameLost(ctx context.Context, vf *verifier, all bool) (progress bool, err error) {
	unnamed := func(err error) bool { return errors.Is(err, content.ErrContentNotFound) }
	if !slices.ContainsFunc(slices.Collect(maps.Values(vf.missing)), unnamed) || all && h.searched {
		return false, nil
	}
	h.searched = h.searched || all
	return h.nameAgain(ctx, all)
}

// nameAgain is the vault's, and notes what it did and could not do.
func (h *healer) nameAgain(ctx context.Context, all bool) (progress bool, err error) {
	n, unread, err := h.v.nameAgain(ctx, all)
	if said := namedAgain(n, unread); n+len(unread) > 0 && !slices.Contains(h.sum.Mended, said) {
		h.note(said)
	}
	return n > 0, err
}

// lostContents returns what the vault names, or a point needs, and cannot be read.
func (vf *verifier) lostContents() (ids []content.ID) {
	for id := range vf.missing {
		ids = append(ids, id)
	}
	for _, id := range vf.doubts.all() {
		if _, ok := vf.missing[id]; !ok && !inList(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// cut returns the contents whose packs are too short.
func (vf *verifier) cut() contentSet {
	set := newContentSet()
	for id, err := range vf.missing {
		if errors.Is(err, errTruncated) {
			set.add(id)
		}
	}
	return set
}

// rewriteAll writes anew what another vault has of some contents, or this one in a pack that is cut behind them, and returns how many
// that were.
func (h *healer) rewriteAll(ctx context.Context, ids []content.ID) (n int, err error) {
	if len(h.others) == 0 {
		ids = h.cut.all()
	}
	for some := range slices.Chunk(ids, healAtOnce) {
		done, err := h.rewrite(ctx, some)
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// rewrite writes contents anew and reads them back from the store.
func (h *healer) rewrite(ctx context.Context, ids []content.ID) (int, error) {
	if err := h.v.repo.Refresh(ctx); err != nil {
		return 0, fmt.Errorf("refresh: %w", err)
	}
	done := newContentSet()
	err := h.v.write(ctx, "heal", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(replicaParallel)
		for _, id := range ids {
			g.Go(func() error { return h.one(ctx, w, id, done) })
		}
		return g.Wait()
	})
	if err != nil {
		return 0, err
	}
	if err := h.v.repo.Refresh(ctx); err != nil {
		return 0, fmt.Errorf("refresh: %w", err)
	}
	if err := h.v.proveMended(ctx, contentsOf(h.v.repo), done); err != nil {
		return 0, fmt.Errorf("%w: %w", errUnproven, err)
	}
	return done.len(), nil
}

// one writes a content anew if a vault has it.
func (h *healer) one(ctx context.Context, w repo.DirectRepositoryWriter, id content.ID, done contentSet) error {
	data, info, from := h.fetch(ctx, id)
	if from == nil {
		return ctx.Err()
	}
	have, err := w.ContentInfo(ctx, id)
	switch {
	case err == nil && !have.Deleted:
		if err := w.ContentManager().DeleteContent(ctx, id); err != nil {
			return fmt.Errorf("forget content %v, which is lost: %w", id, err)
		}
	case err != nil && !errors.Is(err, content.ErrContentNotFound):
		return fmt.Errorf("find content %v: %w", id, err)
	}
	if err := h.v.writeContent(ctx, w, id, data, compression.HeaderIDToName[info.CompressionHeaderID]); err != nil {
		return fmt.Errorf("write content %v: %w", id, err)
	}
	done.add(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sum.Contents++
	h.sum.Bytes += int64(info.PackedLength)
	h.sum.From[from.loc.Tier]++
	return nil
}

// fetch reads a content from the first vault that has it whole.
func (h *healer) fetch(ctx context.Context, id content.ID) (data []byte, info content.Info, from *Vault) {
	key := h.v.repo.FormatManager().GetHmacSecret()
	vaults := h.others
	if h.cut.has(id) {
		vaults = append([]*Vault{h.v}, h.others...)
	}
	for _, o := range vaults {
		err := guard(func() (err error) {
			if info, err = o.repo.ContentReader().ContentInfo(ctx, id); err != nil || info.Deleted {
				return errors.Join(err, content.ErrContentNotFound)
			}
			if data, err = o.content(ctx, info); err == nil {
				err = named(key, id, data)
			}
			return err
		})
		if err == nil {
			return data, info, o
		}
		if o != h.v && ctx.Err() == nil && !errors.Is(err, content.ErrContentNotFound) && !errors.Is(err, blob.ErrBlobNotFound) {
			_ = o.doubt(ctx, id) // one that cannot remember is read all the same
		}
	}
	return nil, info, nil
}
