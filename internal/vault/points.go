package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

const (
	pointPath   = "point" // of the snapshot that seals a point
	sourcesName = "sources.json"
	tagPoint    = "tag:point"
	tagSource   = "tag:source"
	tagState    = "tag:state"
	loadAtOnce  = 8
)

// Source names the snapshot of one source in a sealed point.
type Source struct {
	Source   string    `json:"source"`
	Snapshot string    `json:"snapshot"`
	Root     object.ID `json:"root"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
}

// SealPoint writes the point itself, last: its manifest and the names of its source snapshots. It refuses a point with
// a good component whose source was not sealed or whose path is not in it.
func (v *Vault) SealPoint(ctx context.Context, p point.Point) error {
	sources, err := v.sealedSources(ctx, p)
	if err != nil {
		return problem.Wrap(err, "seal point", p.ID)
	}
	err = v.write(ctx, pointPath, func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return v.savePoint(ctx, w, p, sources)
	})
	if err != nil {
		return problem.Wrap(err, "seal point", p.ID)
	}
	return nil
}

func (v *Vault) sealedSources(ctx context.Context, p point.Point) ([]Source, error) {
	snaps, err := v.snapshots(ctx, map[string]string{tagPoint: p.ID})
	if err != nil {
		return nil, err
	}
	byName := map[string]*snapshot.Manifest{}
	for _, m := range snaps { // oldest first, so that the newest checkpoint of a source stays
		if m.Source.Path == "/"+pointPath {
			return nil, errors.New("it is sealed already")
		}
		byName[m.Tags[tagSource]] = m
	}
	if err := v.checkComponents(ctx, p, byName); err != nil {
		return nil, err
	}
	var sources []Source
	for name, m := range byName {
		sources = append(sources, Source{
			Source: name, Snapshot: string(m.ID), Root: m.RootObjectID(),
			Files: m.RootEntry.DirSummary.TotalFileCount, Bytes: m.RootEntry.DirSummary.TotalFileSize,
		})
	}
	slices.SortFunc(sources, func(a, b Source) int { return strings.Compare(a.Source, b.Source) })
	return sources, nil
}

// checkComponents refuses to call good what is not there.
func (v *Vault) checkComponents(ctx context.Context, p point.Point, snaps map[string]*snapshot.Manifest) error {
	for _, c := range p.Components {
		if c.State != point.Good || c.Path == "" {
			continue
		}
		m, ok := snaps[c.Source]
		if !ok {
			return fmt.Errorf("component %s is good but its source %s was not sealed", c.Name, c.Source)
		}
		if _, err := newFS(ctx, v, m).lookup(c.Path); err != nil {
			return fmt.Errorf("component %s is good but not in its source: %w", c.Name, err)
		}
	}
	return nil
}

func (v *Vault) savePoint(ctx context.Context, w repo.DirectRepositoryWriter, p point.Point, sources []Source) error {
	began := now()
	var b snapshotfs.DirManifestBuilder
	for name, value := range map[string]any{manifestName: p, sourcesName: sources} {
		e, err := writeJSON(ctx, w, value)
		if err != nil {
			return err
		}
		e.Name = name
		b.AddEntry(e)
	}
	root := newEntry(snapshot.EntryTypeDirectory, stream.Meta{Mode: 0o700, ModTime: began})
	if err := writeDirManifest(ctx, w, &b, root, ""); err != nil {
		return err
	}
	m := newSnapshot(v.sourceInfo(pointPath), root, began)
	m.Tags = map[string]string{tagPoint: p.ID, tagSource: pointPath, tagState: string(p.State)}
	_, err := snapshot.SaveSnapshot(ctx, w, m)
	return err
}

// writeJSON writes value as a file whose contents lie with the directories, so that listing points reads few packs.
func writeJSON(ctx context.Context, w repo.DirectRepositoryWriter, value any) (*snapshot.DirEntry, error) {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, err
	}
	ow := w.NewObjectWriter(ctx, object.WriterOptions{Prefix: "j", Compressor: smallCompressor, MetadataCompressor: smallCompressor})
	defer ow.Close()
	if _, err := ow.Write(data); err != nil {
		return nil, err
	}
	id, err := ow.Result()
	e := newEntry(snapshot.EntryTypeFile, stream.Meta{Mode: 0o600, ModTime: now()})
	e.ObjectID, e.FileSize = id, int64(len(data))
	return e, err
}

// Points returns every sealed point, oldest first. One whose manifest cannot be read comes as a failed one that holds
// nothing and says so in its notes, since damage to one point must not keep anybody from the others.
func (v *Vault) Points(ctx context.Context) ([]point.Point, error) {
	snaps, err := v.snapshots(ctx, map[string]string{tagSource: pointPath})
	if err != nil {
		return nil, problem.Wrap(err, "list points of vault", v.loc.URL)
	}
	points := make([]point.Point, len(snaps))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadAtOnce)
	for i, m := range snaps {
		g.Go(func() (err error) {
			points[i], err = v.load(ctx, m)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, problem.Wrap(err, "list points of vault", v.loc.URL)
	}
	slices.SortStableFunc(points, func(a, b point.Point) int { return a.Started.Compare(b.Started) })
	return points, nil
}

// load reads the manifest of a point.
func (v *Vault) load(ctx context.Context, m *snapshot.Manifest) (p point.Point, err error) {
	err = guard(func() error { return v.loadJSON(ctx, m, manifestName, &p) })
	if err == nil || ctx.Err() != nil {
		return p, ctx.Err()
	}
	return point.Point{
		ID: m.Tags[tagPoint], Cloud: v.cloud, Started: m.StartTime.ToTime().UTC(), Finished: m.EndTime.ToTime().UTC(), State: point.Failed,
		Notes: []string{"its manifest cannot be read, holdfast verify tells what is damaged: " + err.Error()},
	}, nil
}

// loadJSON decodes the file at path in the snapshot m.
func (v *Vault) loadJSON(ctx context.Context, m *snapshot.Manifest, path string, into any) error {
	f, err := newFS(ctx, v, m).Open(path)
	if err != nil {
		return fmt.Errorf("point %s: %w", m.Tags[tagPoint], err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("point %s: read %s: %w", m.Tags[tagPoint], path, err)
	}
	return json.Unmarshal(data, into)
}

// snapshots returns the snapshots of this cloud with all the given labels, oldest first.
func (v *Vault) snapshots(ctx context.Context, labels map[string]string) ([]*snapshot.Manifest, error) {
	if err := v.repo.Refresh(ctx); err != nil {
		return nil, v.failure(err)
	}
	want := map[string]string{manifest.TypeLabelKey: snapshot.ManifestType, snapshot.UsernameLabel: user, snapshot.HostnameLabel: v.cloud}
	for k, l := range labels {
		want[k] = l
	}
	found, err := v.repo.FindManifests(ctx, want)
	if err != nil {
		return nil, v.unlisted(ctx, err)
	}
	var snaps []*snapshot.Manifest
	for _, f := range found {
		m, err := snapshot.LoadSnapshot(ctx, v.repo, f.ID)
		if err != nil {
			return nil, fmt.Errorf("load snapshot %s: %w", f.ID, err)
		}
		snaps = append(snaps, m)
	}
	return snapshot.SortByTime(snaps, false), nil
}

// passOver is kopia's own switch: with it in the environment, records of snapshots that cannot be read are passed over
// instead of keeping everybody from all the others.
const passOver = "KOPIA_IGNORE_MALFORMED_MANIFEST_CONTENTS"

// unlisted explains why the snapshots cannot be listed.
func (v *Vault) unlisted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &problem.Error{
		Kind: problem.Unreachable, Op: "find the points of vault", Target: v.loc.URL, Cause: v.failure(err),
		Hint: "put the damaged blob back from another copy of the vault, if there is one; with " + passOver +
			"=1 in the environment, points that are still whole can be listed and restored",
	}
}

// sealed returns the snapshot that seals a point.
func (v *Vault) sealed(ctx context.Context, pointID string) (*snapshot.Manifest, error) {
	snaps, err := v.snapshots(ctx, map[string]string{tagPoint: pointID, tagSource: pointPath})
	if err != nil {
		return nil, err
	}
	if len(snaps) == 0 {
		return nil, problem.New(problem.NotFound, "list the points with: holdfast points", "no point %s in vault %s", pointID, v.loc.URL)
	}
	return snaps[0], nil
}

// Orphan is a source snapshot whose point was never sealed: its run was killed, or still runs.
type Orphan struct {
	Point, Source string
	id            manifest.ID
}

// Orphans returns the source snapshots that belong to no sealed point.
func (v *Vault) Orphans(ctx context.Context) ([]Orphan, error) {
	snaps, err := v.snapshots(ctx, nil)
	if err != nil {
		return nil, problem.Wrap(err, "find killed runs in vault", v.loc.URL)
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

// Sweep deletes those orphans whose source nobody writes at the moment; keep, if not nil, spares a point. It returns
// what it deleted: nothing while unreadable records are passed over, because what seals a point may be among them.
func (v *Vault) Sweep(ctx context.Context, keep func(Orphan) bool) ([]Orphan, error) {
	if os.Getenv(passOver) != "" {
		return nil, nil
	}
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
	if err := v.forget(ctx, o.id); err != nil {
		return false, err
	}
	return true, nil
}

// Delete removes a point: first what seals it, then its sources, so that a cut leaves orphans and never half a point.
// Its bytes go with Maintain.
func (v *Vault) Delete(ctx context.Context, pointID string) error {
	m, err := v.sealed(ctx, pointID)
	if err != nil {
		return problem.Wrap(err, "delete point", pointID)
	}
	if err := v.forget(ctx, m.ID); err != nil {
		return problem.Wrap(err, "delete point", pointID)
	}
	snaps, err := v.snapshots(ctx, map[string]string{tagPoint: pointID})
	if err != nil {
		return problem.Wrap(err, "delete sources of point", pointID)
	}
	ids := make([]manifest.ID, len(snaps))
	for i, m := range snaps {
		ids[i] = m.ID
	}
	if err := v.forget(ctx, ids...); err != nil {
		return problem.Wrap(err, "delete sources of point", pointID)
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
