package rbd

import (
	"testing"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
)

// TestMapIsNotAskedWhereARollbackMayBe: the object map is believed only where no rollback to an older snapshot can be hidden by it.
func TestMapIsNotAskedWhereARollbackMayBe(t *testing.T) {
	ours := cephcmd.Snapshot{ID: 7, Name: "ours"}
	for name, tc := range map[string]struct {
		snaps []cephcmd.Snapshot
		older bool
		want  cephcmd.Precision
	}{
		"only ours":    {[]cephcmd.Snapshot{ours}, false, cephcmd.Objects},
		"a newer one":  {[]cephcmd.Snapshot{ours, {ID: 9, Name: "u"}}, false, cephcmd.Objects},
		"an older one": {[]cephcmd.Snapshot{{ID: 3, Name: "u"}, ours}, false, cephcmd.Objects},
		"two":          {[]cephcmd.Snapshot{{ID: 3, Name: "u0"}, {ID: 4, Name: "u1"}, ours}, false, cephcmd.Extents},
		"there was":    {[]cephcmd.Snapshot{ours}, true, cephcmd.Extents},
	} {
		c := point.Component{Identity: Identity{Snapshot: "ours", SnapshotID: 7, Older: tc.older}.facts()}
		i := &image{Image: cephcmd.Image{Snapshots: tc.snaps}, from: "ours", copy: &Copy{Component: c}}
		if got := i.mapped(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
