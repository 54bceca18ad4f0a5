package mariadb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
)

// prepared makes a captured copy ready for a server.
func prepared(t testing.TB, dir string) string {
	t.Helper()
	tool(t, "mariadb-backup", "--prepare", "--target-dir="+dir)
	return dir
}

func TestPhysicalCopyHoldsEveryRow(t *testing.T) {
	l := cluster(t)
	ahead := func() time.Time { return time.Now().Add(time.Hour) } // a clock that is not the node's
	s := New(Options{Shards: []Shard{shardOf(t, l)}, Now: ahead})
	task := planned(t, s, "shard0/physical")
	began := ahead()
	want := checksums(t, asker(t, l, task.Host))
	dir, out := captured(t, s, "shard0/physical")
	t.Logf("reason: %s\nidentity: %v\nproof: %v", task.Reason, out.Identity, out.Proof)
	if out.State != point.Good {
		t.Errorf("state %s", out.State)
	}
	if out.At.Before(began) || out.At.After(ahead()) {
		t.Errorf("the copy is of %s by a clock that was %s before it", out.At, began)
	}
	if diff := cmp.Diff(want, checksums(t, private(t, prepared(t, dir)))); diff != "" {
		t.Errorf("tables differ (-source +copy):\n%s", diff)
	}
}
