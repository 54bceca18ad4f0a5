package mariadb

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/point"
	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

// busy writes rows to one node and changes the schema on it, until the test ends it. Every row of a transaction has the
// same sum, so that a copy of a moment in between shows.
func busy(t *testing.T, l *lab.Lab, node string) (stop func(), done *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	asker(t, l, node)("DROP DATABASE IF EXISTS busy; CREATE DATABASE busy; CREATE TABLE busy.pair (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT) " +
		"ENGINE=InnoDB; INSERT INTO busy.pair VALUES (1,0,0),(2,0,0)")
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
		return fmt.Sprintf("CREATE TABLE busy.t%d (a INT) ENGINE=InnoDB; INSERT INTO busy.t%d VALUES (%d); ALTER TABLE busy.t%d ADD COLUMN b INT DEFAULT 7; "+
			"RENAME TABLE busy.t%d TO busy.r%d; DROP TABLE IF EXISTS busy.r%d", i, i, i, i, i, i, max(i-2, 0))
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
	if got := ask("SELECT SUM(a)+SUM(b), MAX(a)>0 FROM busy.pair WHERE id<=2"); got != "0\t1\n" {
		t.Errorf("the copy is torn: sum and progress are %s", got)
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

func TestTablesThatTheToolLosesAreNamed(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	task := planned(t, s, "shard0/physical")
	ask := asker(t, l, task.Host)
	const parted = " (a INT) ENGINE=Aria PARTITION BY HASH (a) PARTITIONS 2"
	ask("DROP DATABASE IF EXISTS lossy; CREATE DATABASE lossy; USE lossy; CREATE TABLE kept (a INT) ENGINE=Aria; INSERT INTO kept VALUES (1); " +
		"CREATE TABLE keptparts" + parted + "; INSERT INTO keptparts VALUES (1),(2); CREATE TABLE grown" + parted + "; INSERT INTO grown VALUES (1),(2); " +
		"CREATE TABLE keptdeep (a INT) ENGINE=MyISAM PARTITION BY RANGE (a) SUBPARTITION BY HASH (a) SUBPARTITIONS 2 (PARTITION `p-1` VALUES LESS THAN (9))")
	defer ask("DROP DATABASE lossy")
	var total int64
	dir := filepath.Join(t.TempDir(), "tree")
	sink := sinkOf(t, must[*treetest.Dir](t)(treetest.NewDir(dir)))
	sink.Read = func(n int64) {
		if total < early && total+n >= early {
			ask("USE lossy; CREATE TABLE made (a INT) ENGINE=Aria; INSERT INTO made VALUES (1); RENAME TABLE made TO moved; " +
				"CREATE TABLE madeparts" + parted + "; INSERT INTO madeparts VALUES (1),(2); RENAME TABLE madeparts TO parts; " +
				"ALTER TABLE grown ADD PARTITION PARTITIONS 1")
		}
		total += n
	}
	out, err := s.Capture(limit(t, 5*time.Minute), task, sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("state %s, reason %q", out.State, out.Reason)
	lossless := true
	for table, files := range map[string][]string{
		"moved": {"moved.MAI", "moved.MAD"}, "parts": {"parts#P#p0.MAI", "parts#P#p0.MAD", "parts#P#p1.MAI", "parts#P#p1.MAD"},
		"grown": {"grown.par", "grown#P#p0.MAI", "grown#P#p0.MAD", "grown#P#p1.MAI", "grown#P#p1.MAD", "grown#P#p2.MAI", "grown#P#p2.MAD"},
	} {
		lost := slices.ContainsFunc(files, func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, "lossy", name))
			return err != nil
		})
		if _, err := os.Stat(filepath.Join(dir, "lossy", table+".frm")); err != nil {
			t.Errorf("the definition of %s did not come: %v", table, err)
		}
		if named := strings.Contains(out.Reason, "lossy/"+table); named != lost {
			t.Errorf("data of %s lost: %v; reason %q", table, lost, out.Reason)
		}
		lossless = lossless && !lost
	}
	if (out.State == point.Good) != lossless || strings.Contains(out.Reason, "lossy/kept") {
		t.Errorf("state %s, reason %q", out.State, out.Reason)
	}
}

// slow is a tree that takes its time for every write to the database heavy.
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
	if err != nil || !strings.HasPrefix(path, "heavy/") {
		return f, err
	}
	return slowFile{f, s.perMiB}, nil
}

func (f slowFile) Write(p []byte) (int, error) {
	time.Sleep(f.perMiB * time.Duration(len(p)) / (1 << 20))
	return f.File.Write(p)
}

func TestSlowVaultDoesNotLengthenTheLock(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	task := planned(t, s, "shard0/physical")
	ask := asker(t, l, task.Host)
	// A table that is made while the copy runs is copied under the lock. The vault takes ten seconds for this one.
	late := func() {
		ask("DROP DATABASE IF EXISTS heavy; CREATE DATABASE heavy; USE heavy; CREATE TABLE late (a MEDIUMTEXT) ENGINE=InnoDB; " +
			"INSERT INTO late SELECT REPEAT('x',60000) FROM seq_1_to_1000")
	}
	defer ask("DROP DATABASE IF EXISTS heavy")
	var total int64
	sink := sinkOf(t, nil)
	sink.Tree = slow{must[*treetest.Dir](t)(treetest.NewDir(filepath.Join(t.TempDir(), "tree"))), 150 * time.Millisecond}
	sink.Read = func(n int64) {
		if total < early && total+n >= early {
			late()
		}
		total += n
	}
	out, err := s.Capture(limit(t, 5*time.Minute), task, sink)
	if err != nil {
		t.Fatal(err)
	}
	locked, peak := out.Proof["lock_seconds"].(float64), out.Proof["buffer_peak_bytes"].(int)
	t.Logf("%.1f s locked, %d MiB buffered at most", locked, peak>>20)
	if peak < 5*smallSpool {
		t.Errorf("only %d bytes waited in the buffer: it did not take what was copied under the lock", peak)
	}
	if locked == 0 || locked > 5 {
		t.Errorf("the server was locked for %.1f s", locked)
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

func TestDesyncEndsWithAKilledHoldfast(t *testing.T) {
	l := cluster(t)
	node := l.Shards[0].Nodes[2].Host
	self := must[string](t)(os.Executable())
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), holdEnv+"="+l.Options.Dir, holdEnv+"_NODE="+node)
	cmd.Stderr = os.Stderr
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held\n"))); err != nil {
		t.Errorf("the holder: %v", err)
	}
	if got := strings.Fields(asker(t, l, node)("SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'")); got[1] != "ON" {
		t.Errorf("wsrep_desync is %s while it is held", got[1])
	}
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "the end of the desync", func() bool {
		return strings.Fields(asker(t, l, node)("SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'"))[1] == "OFF"
	})
	clean(t, l, node)
	eventually(t, "the end of the guard", func() bool {
		left, err := l.Run(limit(t, time.Minute), node, "sh", "-c", "ls -d /tmp/holdfast-desync.* 2>/dev/null; true")
		return err == nil && strings.TrimSpace(left) == ""
	})
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
