package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/kopia/kopia/repo"
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
	// tagCheckpoint names the source of a checkpoint, in the place of tagSource, so that whoever looks for the source of a
	// point never finds one.
	tagCheckpoint = "tag:checkpoint"
	loadAtOnce    = 8
)

// Source names the snapshot of one source in a sealed point.
type Source struct {
	Source   string    `json:"source"`
	Snapshot string    `json:"snapshot"`
	Root     object.ID `json:"root"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
}

// SealPoint writes the point itself, last: its manifest and the names of its source snapshots, and a record of both. It
// refuses a point with a good component whose source was not sealed or whose path is not in it. A list of snapshots that
// was damaged is mended by the way.
func (v *Vault) SealPoint(ctx context.Context, p point.Point) error {
	snaps, lost, err := v.sealedSources(ctx, p)
	if err != nil {
		return problem.Wrap(err, "seal point", p.ID)
	}
	err = v.write(ctx, pointPath, func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		r := record{Point: p, Sources: sourcesOf(snaps)}
		m, err := v.savePoint(ctx, w, p, r.Sources)
		if err != nil {
			return err
		}
		r.Snapshots = append(snaps, m)
		return v.keepRecord(ctx, r)
	})
	if err != nil {
		return problem.Wrap(err, "seal point", p.ID)
	}
	_ = v.mendList(ctx, lost) // the point is sealed; a list that stays damaged is told by whoever reads it
	return nil
}

// sealedSources returns the newest snapshot of each source of the point, by source; lost is as list tells it.
func (v *Vault) sealedSources(ctx context.Context, p point.Point) (snaps []*snapshot.Manifest, lost, err error) {
	all, lost, err := v.list(ctx, map[string]string{tagPoint: p.ID})
	if err != nil {
		return nil, nil, err
	}
	byName := map[string]*snapshot.Manifest{}
	for _, m := range all {
		if m.Tags[tagCheckpoint] != "" {
			continue
		}
		if m.Source.Path == "/"+pointPath {
			return nil, nil, errors.New("it is sealed already")
		}
		byName[m.Tags[tagSource]] = m
	}
	if err := v.checkComponents(ctx, p, byName); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		snaps = append(snaps, byName[name])
	}
	return snaps, lost, nil
}

func sourcesOf(snaps []*snapshot.Manifest) (sources []Source) {
	for _, m := range snaps {
		sources = append(sources, Source{
			Source: m.Tags[tagSource], Snapshot: string(m.ID), Root: m.RootObjectID(),
			Files: m.RootEntry.DirSummary.TotalFileCount, Bytes: m.RootEntry.DirSummary.TotalFileSize,
		})
	}
	return sources
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

func (v *Vault) savePoint(ctx context.Context, w repo.DirectRepositoryWriter, p point.Point, sources []Source) (*snapshot.Manifest, error) {
	began := now()
	var b snapshotfs.DirManifestBuilder
	for name, value := range map[string]any{manifestName: p, sourcesName: sources} {
		e, err := writeJSON(ctx, w, value)
		if err != nil {
			return nil, err
		}
		e.Name = name
		b.AddEntry(e)
	}
	root := newEntry(snapshot.EntryTypeDirectory, stream.Meta{Mode: 0o700, ModTime: began})
	if err := writeDirManifest(ctx, w, &b, root, ""); err != nil {
		return nil, err
	}
	m := newSnapshot(v.sourceInfo(pointPath), root, began)
	m.Tags = map[string]string{tagPoint: p.ID, tagSource: pointPath, tagState: string(p.State)}
	_, err := snapshot.SaveSnapshot(ctx, w, m)
	return m, err
}

func writeDirManifest(ctx context.Context, w repo.RepositoryWriter, b *snapshotfs.DirManifestBuilder, e *snapshot.DirEntry, rel string) error {
	m := b.Build(e.ModTime, "")
	id, err := snapshotfs.WriteDirManifest(ctx, w, rel, m, smallCompressor)
	e.ObjectID, e.DirSummary = id, m.Summary
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

// Points returns every sealed point, oldest first. What was lost of how the vault lists them, or of a manifest, is
// taken from the point's record, and its notes say so. One without either comes as a failed one that holds nothing, since
// damage to one point must not keep anybody from the others.
func (v *Vault) Points(ctx context.Context) ([]point.Point, error) {
	snaps, lost, err := v.list(ctx, map[string]string{tagSource: pointPath})
	if err == nil && lost != nil && len(snaps) == 0 {
		err = v.unlisted(ctx, lost)
	}
	if err != nil {
		return nil, problem.Wrap(err, "list points of vault", v.loc.URL)
	}
	points := make([]point.Point, len(snaps))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadAtOnce)
	for i, m := range snaps {
		g.Go(func() (err error) {
			points[i], err = v.load(ctx, m)
			if lost != nil {
				points[i].Notes = append(points[i].Notes, "the vault's list of points is damaged, and the next backup mends it: "+lost.Error())
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, problem.Wrap(err, "list points of vault", v.loc.URL)
	}
	slices.SortStableFunc(points, func(a, b point.Point) int { return a.Started.Compare(b.Started) })
	return points, nil
}

// load reads the manifest of a point, or its record.
func (v *Vault) load(ctx context.Context, m *snapshot.Manifest) (p point.Point, err error) {
	err = guard(func() error { return v.loadJSON(ctx, m, manifestName, &p) })
	if err == nil || ctx.Err() != nil {
		return p, ctx.Err()
	}
	note := "its manifest cannot be read, holdfast verify tells what is damaged: " + err.Error()
	if r, err := v.record(ctx, m.Tags[tagPoint]); err == nil {
		r.Point.Notes = append(r.Point.Notes, note)
		return r.Point, nil
	}
	return point.Point{
		ID: m.Tags[tagPoint], Cloud: v.cloud, Started: m.StartTime.ToTime().UTC(), Finished: m.EndTime.ToTime().UTC(), State: point.Failed,
		Notes: []string{note},
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

// sealed returns the snapshot that seals a point.
func (v *Vault) sealed(ctx context.Context, pointID string) (*snapshot.Manifest, error) {
	snaps, lost, err := v.list(ctx, map[string]string{tagPoint: pointID, tagSource: pointPath})
	switch {
	case err != nil:
		return nil, err
	case len(snaps) > 0:
		return snaps[0], nil
	case lost != nil:
		return nil, v.unlisted(ctx, lost)
	}
	return nil, problem.New(problem.NotFound, "list the points with: holdfast points", "no point %s in vault %s", pointID, v.loc.URL)
}
