package restore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// TestClusterAlone: a second restore of a cluster is refused, and leaves what the first has prepared.
func TestClusterAlone(t *testing.T) {
	lockPatience = time.Second
	data := filepath.Join(t.TempDir(), "mysql")
	restore := func() *Cluster {
		return &Cluster{
			r: &Restorer{Local: host.Local{}, Now: time.Now}, plan: Plan{Point: "p1"},
			o:      ClusterOptions{Nodes: []ClusterNode{{Node: control.Node{Name: "ctl1", Machine: host.Local{}}}}},
			places: []place{{datadir: data}},
		}
	}
	first := restore()
	release, err := first.alone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(first.staging(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := restore().Execute(t.Context()); problem.KindOf(err) != problem.Busy {
		t.Errorf("beside another: %v", err)
	}
	if _, err := os.Stat(first.staging()); err != nil {
		t.Errorf("what the first has prepared: %v", err)
	}
	release()
	release, err = restore().alone(t.Context())
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	release()
}
