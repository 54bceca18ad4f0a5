package restore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/source/mariadb"
)

// stubborn stops servers but that of ctl2.
type stubborn struct {
	control.Control
	stopped *[]string
}

func (s stubborn) Stop(_ context.Context, n control.Node) error {
	if n.Name == "ctl2" {
		return errors.New("stop the database on ctl2: exit status 1")
	}
	*s.stopped = append(*s.stopped, n.Name)
	return nil
}

// TestStopFails: while a server still runs nobody is told to start a cluster anew beside it.
func TestStopFails(t *testing.T) {
	var stopped []string
	k := &Cluster{r: &Restorer{Local: host.Local{}, Now: time.Now}, plan: Plan{Point: "p1"}, o: ClusterOptions{Control: stubborn{nil, &stopped}}}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		k.o.Nodes = append(k.o.Nodes, ClusterNode{Node: control.Node{Name: name, Machine: host.Local{}}, Server: mariadb.Node{Name: name, Host: host.Local{}}})
		k.places = append(k.places, place{datadir: t.TempDir() + "/none"})
	}
	err := k.replace(t.Context())
	if err == nil {
		t.Fatal("it stopped")
	}
	hint := k.afterwards(err)
	if len(stopped) != 1 || strings.Contains(hint, "ctl1, which was stopped last") || !strings.Contains(hint, "start those that were stopped, which join it") {
		t.Errorf("stopped %q, ctl1 runs, and the hint is %s", stopped, hint)
	}
}

// TestUndoStartsFromASyncedNode: one that was down may lack what the others have committed since.
func TestUndoStartsFromASyncedNode(t *testing.T) {
	k := &Cluster{o: ClusterOptions{Nodes: make([]ClusterNode, 3)}, places: make([]place, 3)}
	for i, name := range []string{"ctl1", "ctl2", "ctl3"} {
		k.o.Nodes[i].Name = name
	}
	synced := answer{}
	synced.Galera, synced.Synced, synced.Primary = true, true, true
	down := answer{err: errors.New("nobody answers")}
	for _, test := range []struct {
		all  []answer
		says string
	}{
		{[]answer{synced, synced, synced}, "anew from ctl1, which was stopped last"},
		{[]answer{down, synced, synced}, "anew from ctl2, which was stopped last"},
		{[]answer{down, down, down}, "from the node that was ahead"},
	} {
		k.ahead = aheadOf(test.all)
		if undo := k.undo(3); !strings.Contains(undo[3], test.says) {
			t.Errorf("undo says %q, want %q", undo[3], test.says)
		}
	}
}
