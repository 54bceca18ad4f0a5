package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	kfs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

const (
	manifestName = "manifest.json"
	dirPrefix    = "k" // of the contents of directories, by which kopia tells them
)

// SealResult says what a sealed session left in the vault. NewBytes and NewContents are everything that the vault did
// not hold before; Proven is how many contents were found again, ReadBack how many new ones were read and hashed.
type SealResult struct {
	ID          string
	Files       int64
	Bytes       int64
	NewBytes    int64
	NewContents int
	Proven      int
	ReadBack    int
}

// Seal ends the session: it writes manifest as manifest.json into the root, flushes, proves that what was written is in
// the store, and only then saves the snapshot, with tags beside its own. After an error nothing of it exists.
func (s *Session) Seal(ctx context.Context, manifest any, tags map[string]string) (SealResult, error) {
	res, err := s.seal(ctx, manifest, tags)
	s.Abandon(ctx)
	if err != nil {
		return SealResult{}, problem.Wrap(s.v.failure(err), "seal", s.source+" of point "+s.point)
	}
	return res, nil
}

func (s *Session) seal(ctx context.Context, manifest any, tags map[string]string) (SealResult, error) {
	data, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return SealResult{}, fmt.Errorf("encode manifest: %w", err)
	}
	if err := s.WriteFile(manifestName, stream.Meta{Mode: 0o600, ModTime: now()}, data); err != nil {
		return SealResult{}, err
	}
	if _, err := s.Finish("."); err != nil {
		return SealResult{}, err
	}
	root, res, err := s.bring(ctx, s.root)
	if err != nil {
		return SealResult{}, err
	}
	if err := s.proveMended(ctx); err != nil {
		return SealResult{}, fmt.Errorf("%w: %w", errUnproven, err)
	}
	own := map[string]string{tagPoint: s.point, tagSource: s.source}
	for k, v := range tags {
		own["tag:"+k] = v
	}
	res.ID, err = s.save(ctx, root, own)
	return res, err
}

// bring brings finished names into the store for good: it writes their directories, flushes, and proves that all of them is
// there.
func (s *Session) bring(ctx context.Context, names *node) (*snapshot.DirEntry, SealResult, error) {
	root, err := s.writeDir(names)
	if err != nil {
		return nil, SealResult{}, s.fail(err)
	}
	if err := s.w.Flush(ctx); err != nil {
		return nil, SealResult{}, s.fail(fmt.Errorf("flush: %w", err))
	}
	if err := s.v.store.sync(); err != nil {
		return nil, SealResult{}, fmt.Errorf("sync: %w", err)
	}
	res, err := s.prove(ctx, names, root)
	return root, res, err
}

// save makes what was brought into the store visible.
func (s *Session) save(ctx context.Context, root *snapshot.DirEntry, tags map[string]string) (string, error) {
	m := newSnapshot(s.v.sourceInfo(s.source), root, s.began)
	m.Tags = tags
	id, err := snapshot.SaveSnapshot(ctx, s.w, m)
	if err != nil {
		return "", s.fail(err)
	}
	if err := s.w.Flush(ctx); err != nil {
		return "", s.fail(fmt.Errorf("flush: %w", err))
	}
	return string(id), s.v.store.sync()
}

func newSnapshot(src snapshot.SourceInfo, root *snapshot.DirEntry, began time.Time) *snapshot.Manifest {
	m := &snapshot.Manifest{
		Source: src, RootEntry: root,
		StartTime: kfs.UTCTimestampFromTime(began), EndTime: kfs.UTCTimestampFromTime(now()),
	}
	m.Stats.TotalFileCount = int32(root.DirSummary.TotalFileCount)
	m.Stats.TotalFileSize = root.DirSummary.TotalFileSize
	m.Stats.TotalDirectoryCount = int32(root.DirSummary.TotalDirCount)
	return m
}

// writeDir writes the directory n and all below it, and returns its entry.
func (s *Session) writeDir(n *node) (*snapshot.DirEntry, error) {
	var b snapshotfs.DirManifestBuilder
	for name, child := range n.children {
		e, err := s.entry(child)
		if err != nil {
			return nil, err
		}
		e.Name = name
		b.AddEntry(e)
	}
	e := newEntry(snapshot.EntryTypeDirectory, n.meta)
	return e, s.putDir(&b, e)
}

// putDir writes a directory as kopia does, and anew what the vault has lost of an equal one.
func (s *Session) putDir(b *snapshotfs.DirManifestBuilder, e *snapshot.DirEntry) error {
	m := b.Build(e.ModTime, "")
	var data bytes.Buffer
	if err := json.NewEncoder(&data).Encode(m); err != nil {
		return fmt.Errorf("encode directory: %w", err)
	}
	id, err := s.writeObject(nil, data.Bytes(), object.WriterOptions{Prefix: dirPrefix, Compressor: smallCompressor, MetadataCompressor: smallCompressor})
	e.ObjectID, e.DirSummary = id, m.Summary
	return err
}

// entry returns what a directory keeps of n.
func (s *Session) entry(n *node) (*snapshot.DirEntry, error) {
	switch {
	case n.isDir():
		return s.writeDir(n)
	case n.adopted != nil:
		return n.adopted.Clone(), nil
	case n.target != nil:
		e := newEntry(snapshot.EntryTypeSymlink, n.meta)
		e.FileSize = int64(len(*n.target))
		id, err := s.writeObject(nil, []byte(*n.target), object.WriterOptions{Splitter: wholePiece})
		e.ObjectID = id
		return e, err
	}
	id, err := n.body.wait()
	e := newEntry(snapshot.EntryTypeFile, n.meta)
	e.ObjectID, e.FileSize = id, n.body.length()
	return e, err
}

func newEntry(t snapshot.EntryType, m stream.Meta) *snapshot.DirEntry {
	return &snapshot.DirEntry{
		Type: t, Permissions: snapshot.Permissions(m.Mode & kfs.ModBits),
		ModTime: kfs.UTCTimestampFromTime(m.ModTime), UserID: m.UID, GroupID: m.GID,
	}
}

// errUnproven marks data that was written and is not in the store as it should be.
var errUnproven = errors.New("what was written is not in the vault as it should be")
