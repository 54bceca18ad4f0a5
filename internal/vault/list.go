package vault

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/index"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"holdfast/internal/problem"
)

// snapshots returns the snapshots of this cloud with all the given labels, oldest first.
func (v *Vault) snapshots(ctx context.Context, labels map[string]string) ([]*snapshot.Manifest, error) {
	snaps, _, err := v.list(ctx, labels)
	return snaps, err
}

// list is snapshots, and lost is as find tells it.
func (v *Vault) list(ctx context.Context, labels map[string]string) (snaps []*snapshot.Manifest, lost, err error) {
	want := map[string]string{snapshot.HostnameLabel: v.cloud}
	maps.Copy(want, labels)
	return v.find(ctx, want)
}

type listedKey struct{}

// Listed has what is listed with the context be what the vault knew when it was listed last, for whoever did that a moment ago.
func Listed(ctx context.Context) context.Context { return context.WithValue(ctx, listedKey{}, true) }

// find returns the snapshots of all clouds that have the labels, oldest first, and as lost what keeps kopia from listing
// them: then they come from what of kopia's list can be read and from the records of the points.
func (v *Vault) find(ctx context.Context, labels map[string]string) (snaps []*snapshot.Manifest, lost, err error) {
	if ctx.Value(listedKey{}) == nil {
		if err := v.repo.Refresh(ctx); err != nil {
			return nil, nil, v.failure(err)
		}
	}
	want := map[string]string{manifest.TypeLabelKey: snapshot.ManifestType, snapshot.UsernameLabel: user}
	maps.Copy(want, labels)
	lost = again(ctx, func(ctx context.Context) (err error) {
		snaps, err = v.listed(ctx, want)
		return err
	})
	if lost != nil && ctx.Err() == nil {
		if away := v.outage(ctx, lost); away != nil {
			return nil, nil, away
		}
		snaps, err = v.salvage(ctx, want)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, nil, v.unlisted(ctx, errors.Join(lost, err))
	}
	return snapshot.SortByTime(snaps, false), lost, nil
}

// listed asks kopia, which cannot list anything when it cannot read everything.
func (v *Vault) listed(ctx context.Context, want map[string]string) (snaps []*snapshot.Manifest, err error) {
	found, err := v.repo.FindManifests(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, f := range found {
		m, err := snapshot.LoadSnapshot(ctx, v.repo, f.ID)
		if errors.Is(err, snapshot.ErrSnapshotNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("load snapshot %s: %w", f.ID, err)
		}
		snaps = append(snaps, m)
	}
	return snaps, nil
}

// unlisted explains why the snapshots cannot be listed in full.
func (v *Vault) unlisted(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &problem.Error{
		Kind: problem.Unreachable, Op: "list the points of vault", Target: v.loc.URL, Cause: v.failure(cause),
		Hint: "put the damaged blob back from another copy of the vault, or take a backup, which mends the list; what the list names can be restored",
	}
}

// listEntry is what kopia keeps of one snapshot, or of its deletion, or of anything else that it lists by labels.
type listEntry struct {
	ID       manifest.ID       `json:"id"`
	Labels   map[string]string `json:"labels"`
	Modified time.Time         `json:"modified"`
	Deleted  bool              `json:"deleted"`
	Data     json.RawMessage   `json:"data"`
}

// kopiaList is what can be read of kopia's list: the newest entry of each identity, and the contents that cannot.
type kopiaList struct {
	entries    map[manifest.ID]listEntry
	unreadable []content.ID
}

// contentReader reads one content of the list.
type contentReader func(context.Context, content.Info) ([]byte, error)

func (v *Vault) readList(ctx context.Context, read contentReader) (kopiaList, error) {
	list := kopiaList{entries: map[manifest.ID]listEntry{}}
	every := content.IterateOptions{Range: index.PrefixRange(manifest.ContentPrefix)}
	err := v.repo.ContentReader().IterateContents(ctx, every, func(info content.Info) error {
		entries, err := decodeList(read(ctx, info))
		if err != nil {
			list.unreadable = append(list.unreadable, info.ContentID)
			return ctx.Err()
		}
		for _, e := range entries {
			if old, ok := list.entries[e.ID]; !ok || e.Modified.After(old.Modified) {
				list.entries[e.ID] = e
			}
		}
		return nil
	})
	return list, err
}

// cached reads a content as kopia does, from its cache of directories and lists if it can.
func (v *Vault) cached(ctx context.Context, info content.Info) ([]byte, error) {
	return v.repo.ContentReader().GetContent(ctx, info.ContentID)
}

func decodeList(data []byte, err error) ([]listEntry, error) {
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var list struct {
		Entries []listEntry `json:"entries"`
	}
	err = json.NewDecoder(z).Decode(&list)
	return list.Entries, err
}

// identity tells the snapshot of a source in a point by what it holds: put back into kopia's list, it has another ID.
type identity struct {
	point, source string
	root          object.ID
}

func identityOf(m *snapshot.Manifest) identity {
	return identity{m.Tags[tagPoint], m.Tags[tagSource], m.RootObjectID()}
}

// errNothingLeft tells that neither the list nor any record can be read.
var errNothingLeft = errors.New("nothing is left of it")

// salvage lists the snapshots that have the labels without kopia.
func (v *Vault) salvage(ctx context.Context, want map[string]string) ([]*snapshot.Manifest, error) {
	list, err := v.readList(ctx, v.cached)
	if err != nil {
		return nil, err
	}
	records, err := v.records(ctx, want[tagPoint])
	if err != nil {
		return nil, err
	}
	if len(list.entries)+len(records) == 0 {
		return nil, errNothingLeft
	}
	var found []*snapshot.Manifest
	for _, m := range append(list.snapshots(), list.missing(records)...) {
		if hasLabels(m, want) {
			found = append(found, m)
		}
	}
	return found, nil
}

// snapshots returns those that can be read.
func (l kopiaList) snapshots() (snaps []*snapshot.Manifest) {
	for id, e := range l.entries {
		m := &snapshot.Manifest{}
		if e.Deleted || e.Labels[manifest.TypeLabelKey] != snapshot.ManifestType || json.Unmarshal(e.Data, m) != nil || m.RootEntry == nil {
			continue
		}
		m.ID = id
		snaps = append(snaps, m)
	}
	return snaps
}

// missing returns the snapshots that the records have and the list has not, nor its deletions.
func (l kopiaList) missing(records []record) (snaps []*snapshot.Manifest) {
	have := map[identity]bool{}
	for _, m := range l.snapshots() {
		have[identityOf(m)] = true
	}
	for _, r := range records {
		for _, m := range r.Snapshots {
			if m.RootEntry == nil || have[identityOf(m)] || l.entries[m.ID].Deleted {
				continue
			}
			have[identityOf(m)] = true
			snaps = append(snaps, m)
		}
	}
	return snaps
}

func hasLabels(m *snapshot.Manifest, want map[string]string) bool {
	labels := map[string]string{manifest.TypeLabelKey: snapshot.ManifestType, snapshot.UsernameLabel: m.Source.UserName, snapshot.HostnameLabel: m.Source.Host}
	maps.Copy(labels, m.Tags)
	for k, l := range want {
		if labels[k] != l {
			return false
		}
	}
	return true
}
