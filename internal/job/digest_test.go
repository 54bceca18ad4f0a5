package job

import "testing"

// TestTakeDrills: a drill tells of its point, whether it is of one shard or of all.
func TestTakeDrills(t *testing.T) {
	for printed, want := range map[string]string{
		`{"point":"p1","parts":[]}`:                  "p1",
		`[{"point":"p1"},{"point":"p1","shard":1}]`:  "p1",
		`[{"point":"p1"},{"point":"old","shard":1}]`: "old",
		`[]`: "",
		``:   "",
	} {
		r := Result{Args: []string{"drill", "mariadb"}}
		if r.take([]byte(printed)); r.Point != want {
			t.Errorf("of %s it takes %q, want %q", printed, r.Point, want)
		}
	}
}
