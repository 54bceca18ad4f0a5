// Package acceptance holds whole journeys: what an operator does on the worst night of the year, on real servers.
package acceptance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// writer commits rows 1, 2, 3, ... one by one, and knows how many were acknowledged.
type writer struct {
	t    *testing.T
	lab  *lab.Lab
	node string
	stop chan struct{}
	done chan int
	acks chan int
}

const writtenTable = "acceptance.written"

func startWriter(t *testing.T, l *lab.Lab, node string) *writer {
	t.Helper()
	if _, err := l.SQL(t.Context(), node, "CREATE DATABASE acceptance; CREATE TABLE "+writtenTable+" (id BIGINT PRIMARY KEY, v VARCHAR(64) NOT NULL) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, lab: l, node: node, stop: make(chan struct{}), done: make(chan int), acks: make(chan int, 1<<16)}
	go w.run()
	return w
}

// batch is how many rows one client session commits, each in a transaction of its own.
const batch = 50

func (w *writer) run() {
	acknowledged := 0
	for {
		select {
		case <-w.stop:
			w.done <- acknowledged
			return
		default:
		}
		var sql strings.Builder
		for i := range batch {
			fmt.Fprintf(&sql, "INSERT INTO %s VALUES (%d, MD5(%d));", writtenTable, acknowledged+i+1, acknowledged+i+1)
		}
		if _, err := w.lab.SQL(context.Background(), w.node, sql.String()); err != nil {
			w.t.Errorf("write during the backup: %v", err)
			w.done <- acknowledged
			return
		}
		acknowledged += batch
		w.acks <- acknowledged
	}
}

// await waits until at least n rows are acknowledged and returns how many are.
func (w *writer) await(n int) int {
	for {
		select {
		case got := <-w.acks:
			if got >= n {
				return got
			}
		case <-time.After(time.Minute):
			w.t.Fatalf("%d rows were not written within a minute", n)
		}
	}
}

func (w *writer) end() int {
	close(w.stop)
	return <-w.done
}

// TestClusterBackFromNothing takes a point while rows are written, loses all three nodes, and gets every row back.
func TestClusterBackFromNothing(t *testing.T) {
	l := labtest.New(t)
	op := journey.New(t, l)
	op.Init()
	before := journey.Sums(t, l, "ctl2")

	w := startWriter(t, l, "ctl1")
	atStart := w.await(200)
	p := op.Backup()
	atEnd := w.end()
	if p.State != point.Complete {
		t.Fatalf("the point is %s", p.State)
	}
	assertProven(t, p)

	if err := l.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := op.Run("restore", "mariadb", p.ID, "--cluster", "--yes")
	if !strings.Contains(out, "done in") {
		t.Errorf("restore does not say that it is done:\n%s", out)
	}
	for _, n := range l.Nodes() {
		after := journey.Sums(t, l, n.Host)
		journey.SameSums(t, before, after, writtenTable)
		assertPrefix(t, l, n.Host, atStart, atEnd)
	}
	assertCluster(t, l)
	// The restored cluster is the same cloud's: a second restore of the point is no mistake.
	op.Run("restore", "mariadb", p.ID, "--cluster", "--dry-run")
	assertSecondPoint(t, op, p)
}

func assertProven(t *testing.T, p point.Point) {
	t.Helper()
	c, ok := p.Component("mariadb", "shard0/physical")
	if !ok || c.State != point.Good || c.BytesRead < 1<<20 || c.BytesNew < 1<<20 || c.At == nil {
		t.Errorf("physical copy: %+v", c)
	}
	if c.Identity["cluster_uuid"] == nil || c.Identity["seqno"] == nil || c.Proof["completed_ok"] != true {
		t.Errorf("identity %v, proof %v", c.Identity, c.Proof)
	}
	if c.Host == "ctl1" {
		t.Errorf("the copy was taken from the writer; reason: %s", c.Reason)
	}
	if p.SkewSeconds <= 0 || p.SkewSeconds > 60 {
		t.Errorf("skew is %v s", p.SkewSeconds)
	}
}

// assertPrefix demands that exactly rows 1..k are there, with k between what was acknowledged before the backup and
// what was written when it ended.
func assertPrefix(t *testing.T, l *lab.Lab, node string, least, most int) {
	t.Helper()
	out, err := l.SQL(t.Context(), node, "SELECT COUNT(*), MAX(id), SUM(v = MD5(id)) FROM "+writtenTable)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(out)
	if len(f) != 3 || f[0] != f[1] || f[0] != f[2] {
		t.Errorf("%s: rows, highest id and true rows are %v, want one number", node, f)
		return
	}
	n, err := strconv.Atoi(f[0])
	if err != nil || n < least || n > most {
		t.Errorf("%s: %d rows came back, want %d to %d", node, n, least, most)
	}
}

func assertCluster(t *testing.T, l *lab.Lab) {
	t.Helper()
	uuids := map[string]bool{}
	for _, n := range l.Nodes() {
		out, err := l.SQL(t.Context(), n.Host, "SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_size','wsrep_cluster_status','wsrep_local_state_comment','wsrep_cluster_state_uuid')")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"wsrep_cluster_size\t3", "wsrep_cluster_status\tPrimary", "wsrep_local_state_comment\tSynced"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in %s", n.Host, want, out)
			}
		}
		for line := range strings.Lines(out) {
			if uuid, ok := strings.CutPrefix(line, "wsrep_cluster_state_uuid\t"); ok {
				uuids[uuid] = true
			}
		}
	}
	if len(uuids) != 1 {
		t.Errorf("the nodes are in %d clusters", len(uuids))
	}
}

// assertSecondPoint takes a point of the restored cluster: it belongs to a new cluster, and the old point stays.
func assertSecondPoint(t *testing.T, op *journey.Operator, first point.Point) {
	t.Helper()
	second := op.Backup("mariadb")
	a, _ := first.Component("mariadb", "shard0/physical")
	b, _ := second.Component("mariadb", "shard0/physical")
	if a.Identity["cluster_uuid"] == b.Identity["cluster_uuid"] {
		t.Error("the restored cluster kept its UUID: a node with old data could join it unnoticed")
	}
	if got := op.Points(); len(got) != 2 {
		t.Errorf("points are %v, want two", got)
	}
}
