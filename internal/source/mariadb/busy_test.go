package mariadb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

// busy writes rows to one node and changes the schema on it, until the test ends it. Every row of a transaction has the
// same sum, so that a copy of a moment in between shows.
func busy(t *testing.T, l *lab.Lab, node string) (stop func(), done *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	asker(t, l, node)("DROP DATABASE IF EXISTS busy; CREATE DATABASE busy; CREATE TABLE busy.pair (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT) " +
		"ENGINE=InnoDB; INSERT INTO busy.pair (a,b) VALUES (0,0),(0,0)")
	var wg sync.WaitGroup
	done = new(atomic.Int64)
	loop := func(sql func(i int) string) {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := l.SQL(ctx, node, sql(i)); err != nil {
					if ctx.Err() == nil {
						t.Errorf("write: %v", err)
					}
					return
				}
				done.Add(1)
			}
		})
	}
	loop(func(i int) string {
		return fmt.Sprintf("BEGIN; INSERT INTO busy.pair (a,b) VALUES (%d,-%d); UPDATE busy.pair SET a=a+1 WHERE id=1; UPDATE busy.pair SET b=b-1 WHERE id=2; COMMIT", i, i)
	})
	loop(func(i int) string {
		return fmt.Sprintf("CREATE TABLE busy.t%d (a INT) ENGINE=%s; INSERT INTO busy.t%d VALUES (%d); ALTER TABLE busy.t%d ADD COLUMN b INT DEFAULT 7; "+
			"RENAME TABLE busy.t%d TO busy.r%d; DROP TABLE IF EXISTS busy.r%d", i, []string{"InnoDB", "Aria"}[i%2], i, i, i, i, i, max(i-2, 0))
	})
	return func() { cancel(); wg.Wait() }, done
}

func TestPhysicalCopyUnderWritesAndSchemaChanges(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	task := planned(t, s, "shard0/physical")
	writer := l.Shards[0].Nodes[0].Host
	stop, done := busy(t, l, writer)
	defer stop()
	eventually(t, "the first writes", func() bool { return done.Load() > 4 })
	before := done.Load()
	dir := filepath.Join(t.TempDir(), "tree")
	out, err := capture(t, s, task, dir)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	t.Logf("%d statements meanwhile; proof %v", done.Load()-before, out.Proof)
	ask := private(t, prepared(t, dir))
	if got := ask("SELECT SUM(a)+SUM(b) FROM busy.pair"); got != "0\n" {
		t.Errorf("the copy is torn: the sum is %s", got)
	}
	eventually(t, "the writes' arrival", func() bool {
		return asker(t, l, task.Host)("SELECT MAX(id) FROM busy.pair") == asker(t, l, writer)("SELECT MAX(id) FROM busy.pair")
	})
	rows := ask("SELECT MAX(id) FROM busy.pair")
	want := asker(t, l, task.Host)("SELECT id,a,b FROM busy.pair WHERE id>2 AND id<=" + rows)
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(ask("SELECT id,a,b FROM busy.pair WHERE id>2"))); diff != "" {
		t.Errorf("rows differ (-source +copy):\n%s", diff)
	}
	for _, table := range strings.Fields(ask("SELECT CONCAT('busy.',TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA='busy'")) {
		if got := ask("CHECK TABLE " + table); !strings.HasSuffix(got, "OK\n") {
			t.Errorf("%s", got)
		}
	}
	asker(t, l, writer)("DROP DATABASE busy")
}

// slow is a tree that takes its time for every write.
type slow struct {
	stream.Tree
	perMiB time.Duration
}

type slowFile struct {
	stream.File
	perMiB time.Duration
}

func (s slow) Create(path string, m stream.Meta, h stream.Hint) (stream.File, error) {
	f, err := s.Tree.Create(path, m, h)
	return slowFile{f, s.perMiB}, err
}

func (f slowFile) Write(p []byte) (int, error) {
	time.Sleep(f.perMiB * time.Duration(len(p)) / (1 << 20))
	return f.File.Write(p)
}

func TestSlowVaultDoesNotLengthenTheLock(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	task := planned(t, s, "shard0/physical")
	// What is copied under the lock is hundreds of small files and the redo log: at this speed alone that takes minutes.
	sink := sinkOf(t, nil)
	sink.Tree = slow{must[*treetest.Dir](t)(treetest.NewDir(filepath.Join(t.TempDir(), "tree"))), 150 * time.Millisecond}
	asker(t, l, task.Host)("DROP DATABASE IF EXISTS heavy; CREATE DATABASE heavy; USE heavy; CREATE TABLE heavy.aria (a LONGBLOB) ENGINE=Aria TRANSACTIONAL=0; " +
		"CREATE TABLE heavy.isam (a LONGBLOB) ENGINE=MyISAM; INSERT INTO heavy.isam SELECT REPEAT(RAND(),600000) FROM seq_1_to_8")
	defer asker(t, l, task.Host)("DROP DATABASE heavy")
	began := time.Now()
	out, err := s.Capture(limit(t, 5*time.Minute), task, sink)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began).Seconds()
	locked := out.Proof["lock_seconds"].(float64)
	t.Logf("%.1f s in all, %.1f s locked, buffer at most %d MiB", took, locked, out.Proof["buffer_peak_bytes"].(int)>>20)
	if locked == 0 || out.Proof["buffer_peak_bytes"].(int) <= smallSpool {
		t.Errorf("locked %.1f s, at most %v bytes buffered: the buffer was never needed", locked, out.Proof["buffer_peak_bytes"])
	}
	if locked > took/2 {
		t.Errorf("the server was locked for %.1f of %.1f s", locked, took)
	}
}

func TestDesyncLastsAsLongAsTheCopy(t *testing.T) {
	l := cluster(t)
	shard := shardOf(t, l)
	shard.User, shard.Password = "root", l.RootPassword()
	s := New(Options{Shards: []Shard{shard}, Desync: true})
	task := planned(t, s, "shard0/physical")
	state := func() string {
		return strings.Fields(asker(t, l, task.Host)("SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'"))[1]
	}
	var during string
	err := strike(t, s, task, func() { during = state() })
	if err != nil || during != "ON" {
		t.Errorf("wsrep_desync was %s during the copy, %v", during, err)
	}
	clean(t, l, task.Host)
	err = strike(t, s, task, func() { onNode(t, l, task.Host, "kill -9 $(pidof mariadb-backup)") })
	says(t, err, task.Host, "killed")
	clean(t, l, task.Host)
}

func TestSomeoneElsesDesyncIsLeftAlone(t *testing.T) {
	l := cluster(t)
	shard := shardOf(t, l)
	shard.User, shard.Password = "root", l.RootPassword()
	node := shard.Nodes[2]
	ask := asker(t, l, node.Name)
	ask("SET GLOBAL wsrep_desync=ON")
	defer ask("SET GLOBAL wsrep_desync=OFF")
	sess := must[*session](t)(open(limit(t, time.Minute), shard, node))
	if _, err := hold(limit(t, time.Minute), sess); err == nil || !strings.Contains(err.Error(), "set already") {
		t.Errorf("hold: %v, want a refusal", err)
	}
	if got := strings.TrimSpace(ask("SELECT @@wsrep_desync")); got != "1" {
		t.Errorf("wsrep_desync is %s after the refusal, want it left on", got)
	}
	s := New(Options{Shards: []Shard{shard}})
	found := find(t, s.Check(limit(t, time.Minute)), "mariadb "+node.Name+": desync")
	if found.Status != Warn || !strings.Contains(found.Detail, "not by Holdfast") {
		t.Errorf("check %+v", found)
	}
	onNode(t, l, node.Name, "mkdir /tmp/holdfast-desync.99999999")
	h, err := hold(limit(t, time.Minute), sess)
	if err != nil {
		t.Fatalf("a node left desynced by a killed predecessor is not taken over: %v", err)
	}
	if err := h.release(); err != nil {
		t.Fatal(err)
	}
	clean(t, l, node.Name)
}
