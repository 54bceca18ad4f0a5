package rbd

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// Plan lists the pools and decides for each chosen image where its difference begins. Whether an image changed at all
// is found by Hold.
func (s *Source) Plan(ctx context.Context) (source.Plan, error) {
	var plan source.Plan
	copies, err := s.Copies(ctx)
	if err != nil {
		return plan, fmt.Errorf("read what the vault holds: %w", err)
	}
	blind := s.look(ctx, len(copies) > 0)
	pools, err := s.list(ctx)
	if err != nil {
		return plan, err
	}
	choose := s.judge(ctx, pools)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned, s.held, s.facts, s.blind = pools, map[string]*image{}, choose.known(), blind()
	for n := range pools {
		s.planPool(&pools[n], copies, choose, &plan)
	}
	plan.Notes = append(append(plan.Notes, choose.told()...), s.toldBlind()...)
	return plan, nil
}

// list reads all pools of all clusters, side by side.
func (s *Source) list(ctx context.Context) ([]pool, error) {
	g, ctx := errgroup.WithContext(ctx)
	maps := make([]cephcmd.Map, len(s.Clusters))
	var pools []pool
	var of []int
	for n := range s.Clusters {
		c := &s.Clusters[n]
		g.Go(func() (err error) {
			maps[n], err = c.Map()
			return err
		})
		for _, p := range c.Pools {
			pools, of = append(pools, pool{source: s, cluster: c, Pool: p, budget: newBudget(p.Limit)}), append(of, n)
		}
	}
	for n := range pools {
		p := &pools[n]
		g.Go(func() (err error) {
			p.images, err = p.cluster.Images(ctx, p.Name)
			if cephcmd.IsNotFound(err) {
				err = problem.New(problem.Usage, "rbd.pools in holdfast.yml names the pools; ceph osd pool ls lists them",
					"cluster %s has no pool %s", p.cluster, p.Name)
			}
			return err
		})
		g.Go(func() error {
			p.trash, p.lost = p.cluster.Trash(ctx, p.Name)
			return nil // it is needed only when all is captured
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for n := range pools {
		found, _ := maps[of[n]].Pool(pools[n].Name)
		pools[n].fsid, pools[n].id, pools[n].full = maps[of[n]].FSID, found.ID, maps[of[n]].Full(pools[n].Name)
	}
	return pools, nil
}

// image is one that the pool's listing has.
func (p *pool) image(listed cephcmd.Image) *image {
	return &image{pool: p, Image: listed, component: p.cluster.Prefix + p.Name + "/" + listed.Name}
}

func (s *Source) planPool(p *pool, copies map[string]Copy, choose *judge, plan *source.Plan) {
	foreign := 0
	for _, img := range p.images {
		for _, snap := range img.Snapshots {
			if s.marker.foreign(snap.Name) {
				foreign++
			}
		}
		i := p.image(img)
		task := i.task()
		skip := i.skip()
		if rule := choose.skip(i); rule != "" {
			skip, task.Required = rule, false
		}
		if skip == "" && choose.left(i) {
			skip, task.Required = "its server was deleted, and Nova left it behind: rbd rm "+i.spec().String(), false
		}
		if skip != "" {
			task.Reason = skip
			plan.Skipped = append(plan.Skipped, task)
			continue
		}
		if c, ok := copies[i.component]; ok {
			i.copy = &c
		}
		i.freeze = choose.wish(i)
		i.above = s.above(i, copies)
		s.held[i.component] = i
		plan.Tasks = append(plan.Tasks, s.decided(i, task))
	}
	if foreign > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("pool %s has %d snapshots that Holdfast made for another vault; they are left alone", p.Name, foreign))
	}
}

func (i *image) task() source.Task {
	return source.Task{
		Source: SourceName, Name: i.component, Kind: point.Image, Mode: point.Full, Host: i.pool.cluster.On.String(),
		Path: SourceName + "/" + i.component + ".raw", Required: !i.deleted(), Estimate: i.Size,
	}
}

// glanceName is how Glance calls an image.
var glanceName = regexp.MustCompile(`^` + uuid + `$`)

// GlanceSnapshot is what Glance calls the snapshot that its image is read and cloned from.
const GlanceSnapshot = "snap"

// glances reports whether an image is Glance's: another snapshot would keep Glance from deleting it and leave it broken.
func (i *image) glances() bool { return glanceName.MatchString(i.Name) }

// deleted reports whether an image is of a volume that Cinder deleted while it had clones. Cinder removes it with the last of
// them, but not if somebody made a snapshot of it meanwhile: then it stays for ever.
func (i *image) deleted() bool { return strings.HasSuffix(i.Name, ".deleted") }

// skip says why an image cannot be captured, or "".
func (i *image) skip() string {
	if i.Err != nil {
		return "it cannot be opened: " + i.Err.Error()
	}
	if i.deleted() {
		return "Cinder deleted it, and keeps it only for its clones, which are captured whole"
	}
	if i.glances() {
		if snap, ok := i.Snapshot(GlanceSnapshot); !ok || !snap.Protected {
			return "Glance has not finished it: it has no protected snapshot called " + GlanceSnapshot
		}
	}
	return ""
}

// decided completes a task: what it builds on, and why.
func (s *Source) decided(i *image, t source.Task) source.Task {
	from, why := s.base(i)
	t.Reason = why
	if from == "" {
		return t
	}
	t.Parent, i.from = i.copy.Point, from
	if id, err := IdentityOf(i.copy.Component); err == nil && id.Increments >= s.patience(i.pool.cluster) && !i.glances() {
		i.compare = true
		t.Reason = fmt.Sprintf("read in full and compared after %d runs", id.Increments)
		return t
	}
	t.Mode, t.Estimate = point.Incremental, 0
	if i.glances() {
		t.Mode = point.Unchanged
	}
	return t
}

// base is the snapshot whose difference to the image, laid over the newest copy, makes the next one; "" when nothing but a
// full copy is right. Either comes with its reason.
func (s *Source) base(i *image) (from, why string) {
	if i.copy == nil {
		return "", "no earlier copy"
	}
	id, err := IdentityOf(i.copy.Component)
	switch {
	case err != nil:
		return "", "the identity of the earlier copy cannot be read: " + err.Error()
	case id.FSID != i.pool.fsid:
		return "", "the earlier copy is of another cluster, " + id.FSID
	case id.PoolID != i.pool.id:
		return "", fmt.Sprintf("the earlier copy is of another pool of that name, %d", id.PoolID)
	case id.ImageID != i.ID:
		return "", "the earlier copy is of another image of that name, with id " + id.ImageID
	case i.copy.Doubt != "":
		return "", i.copy.Doubt
	case !slices.ContainsFunc(i.Snapshots, func(sn cephcmd.Snapshot) bool { return sn.ID == id.SnapshotID && sn.Name == id.Snapshot }):
		return "", "snapshot " + id.Snapshot + " of the earlier copy is gone"
	case i.glances():
		return id.Snapshot, "unchanged since Glance made it"
	}
	return id.Snapshot, "changes since " + i.copy.From()
}
