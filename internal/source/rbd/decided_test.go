package rbd

import (
	"strings"
	"testing"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// TestDecided: what a capture builds on, and why. Whatever speaks against the earlier copy has all of the image read.
func TestDecided(t *testing.T) {
	was := Identity{FSID: "f", PoolID: 4, ImageID: "1a", Snapshot: "ours", SnapshotID: 7, Size: 10 << 30}
	snaps := []cephcmd.Snapshot{{ID: 7, Name: "ours"}}
	for name, tc := range map[string]struct {
		change func(id *Identity, i *image)
		mode   point.Mode
		from   string
		why    string
	}{
		"nothing":               {func(*Identity, *image) {}, point.Incremental, "ours", "changes since"},
		"grown":                 {func(_ *Identity, i *image) { i.Size = 20 << 30 }, point.Incremental, "ours", "changes since"},
		"no copy":               {func(_ *Identity, i *image) { i.copy = nil }, point.Full, "", "no earlier copy"},
		"another cluster":       {func(id *Identity, _ *image) { id.FSID = "g" }, point.Full, "", "of another cluster, g"},
		"the pool made anew":    {func(id *Identity, _ *image) { id.PoolID = 3 }, point.Full, "", "another pool of that name, 3"},
		"the image made anew":   {func(id *Identity, _ *image) { id.ImageID = "2b" }, point.Full, "", "another image of that name, with id 2b"},
		"migrated":              {func(_ *Identity, i *image) { i.ID = "3c" }, point.Full, "", "another image of that name"},
		"in doubt":              {func(_ *Identity, i *image) { i.copy.Doubt = "it is damaged" }, point.Full, "", "it is damaged"},
		"our snapshot is gone":  {func(_ *Identity, i *image) { i.Snapshots = nil }, point.Full, "", "snapshot ours of the earlier copy is gone"},
		"our snapshot was made": {func(id *Identity, _ *image) { id.SnapshotID = 6 }, point.Full, "", "snapshot ours of the earlier copy is gone"},
		"long not read in full": {func(id *Identity, _ *image) { id.Increments = 30 }, point.Full, "ours", "compared after 30 runs"},
	} {
		s := New(Options{Distrust: 30})
		s.blind = map[*Cluster]error{}
		id := was
		i := &image{
			pool:  &pool{source: s, fsid: "f", id: 4, cluster: &Cluster{}},
			Image: cephcmd.Image{Name: "volume-a", ID: "1a", Size: 10 << 30, Snapshots: snaps}, component: "volumes/volume-a",
		}
		i.copy = &Copy{Point: "p1"}
		tc.change(&id, i)
		if i.copy != nil {
			i.copy.Component = point.Component{Identity: id.facts()}
		}
		got := s.decided(i, source.Task{Mode: point.Full})
		if got.Mode != tc.mode || i.from != tc.from || !strings.Contains(got.Reason, tc.why) {
			t.Errorf("%s: %s from %q, since %q; want %s from %q, since %q", name, got.Mode, i.from, got.Reason, tc.mode, tc.from, tc.why)
		}
	}
}
