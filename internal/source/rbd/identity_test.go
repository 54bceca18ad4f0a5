package rbd

import (
	"testing"

	"holdfast/internal/cephcmd"
)

// TestHowClosely where no cluster is to be asked: one older snapshot hides nothing, and what one held that is gone nobody can tell.
func TestHowClosely(t *testing.T) {
	ours := cephcmd.Snapshot{ID: 7, Name: "ours"}
	for name, tc := range map[string]struct {
		snaps  []cephcmd.Snapshot
		before []int64
		want   cephcmd.Precision
	}{
		"only ours":          {[]cephcmd.Snapshot{ours}, nil, cephcmd.Objects},
		"newer ones":         {[]cephcmd.Snapshot{ours, {ID: 9, Name: "u"}, {ID: 10, Name: "v"}}, nil, cephcmd.Objects},
		"an older one":       {[]cephcmd.Snapshot{{ID: 3, Name: "u"}, ours}, []int64{3}, cephcmd.Objects},
		"the first is gone":  {[]cephcmd.Snapshot{ours}, []int64{3}, cephcmd.Objects},
		"one of two is gone": {[]cephcmd.Snapshot{{ID: 3, Name: "u"}, ours}, []int64{3, 4}, cephcmd.Extents},
	} {
		copy := Identity{Snapshot: "ours", SnapshotID: 7, Before: tc.before}
		if got := HowClosely(t.Context(), cephcmd.Cluster{}, cephcmd.Spec{}, copy, tc.snaps); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
