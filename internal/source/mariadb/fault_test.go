package mariadb

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

// early is how far a stream is read before something happens to it: less than what a physical copy or a dump of the
// lab has left then, even with all buffers on the way full.
const early = 1 << 20

// strike captures a component and lets something happen once, early in its stream.
func strike(t *testing.T, s *Source, task source.Task, happen func()) error {
	t.Helper()
	var total int64
	dir := must[*treetest.Dir](t)(treetest.NewDir(filepath.Join(t.TempDir(), "tree")))
	sink := sinkOf(t, dir)
	sink.Read = func(n int64) {
		if total < early && total+n >= early {
			happen()
		}
		total += n
	}
	_, err := s.Capture(limit(t, 5*time.Minute), task, sink)
	if total < early {
		t.Fatalf("the stream ended after %d bytes, before anything happened to it: %v", total, err)
	}
	return err
}

// clean asserts that the node is as it was: synced, not desynced, and no tool runs on it.
func clean(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	if err := l.AwaitSynced(limit(t, 3*time.Minute), node); err != nil {
		t.Error(err)
	}
	if got := strings.Fields(asker(t, l, node)("SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'")); got[1] != "OFF" {
		t.Errorf("%s is desynced", node)
	}
	eventually(t, "the end of every tool on "+node, func() bool {
		out, _ := l.Run(limit(t, 3*time.Minute), node, "sh", "-c", "pidof mariadb-backup mariadb-dump; true")
		return strings.TrimSpace(out) == ""
	})
}

// says asserts that err names the node and all of words, and tells what to do next.
func says(t *testing.T, err error, node string, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("the capture succeeded")
	}
	t.Logf("error: %v\nhint: %s", err, problem.HintOf(err))
	for _, w := range append(words, "mariadb on "+node) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if problem.HintOf(err) == "" {
		t.Errorf("error %q gives no hint", err)
	}
}

// onNode runs a shell command on a node, as an accident would.
func onNode(t *testing.T, l *lab.Lab, node, command string) {
	t.Helper()
	if out, err := l.Run(limit(t, 3*time.Minute), node, "sh", "-c", command); err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}

func TestAccidentsDuringACapture(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	ctx := limit(t, 20*time.Minute)
	root := func(t *testing.T, node, sql string) {
		if _, err := l.SQL(ctx, node, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// Galera at times gives itself up when its donor turns it away: that is its own affair.
	rejoin := func(t *testing.T, node string) {
		root(t, node, "SET GLOBAL wsrep_provider_options='gmcast.isolate=0'")
		if err := l.AwaitSynced(ctx, node); err != nil && l.PID(node) == 0 {
			errorOf(t, l.Start(ctx, node))
		}
	}
	cases := []struct {
		name, component string
		happen          func(t *testing.T, node string)
		mend            func(t *testing.T, node string)
		says            []string
	}{
		{"mariadb-backup is killed", "shard0/physical",
			func(t *testing.T, n string) { onNode(t, l, n, "kill -9 $(pidof mariadb-backup)") }, nil,
			[]string{"killed by signal KILL"}},
		{"mariadb-dump is killed", "shard0/logical",
			func(t *testing.T, n string) { onNode(t, l, n, "kill -9 $(pidof mariadb-dump)") }, nil,
			[]string{"killed by signal KILL"}},
		{"the server stops under mariadb-backup", "shard0/physical",
			func(t *testing.T, n string) { errorOf(t, l.Stop(ctx, n)) },
			func(t *testing.T, n string) { errorOf(t, l.Start(ctx, n)) },
			[]string{"mariadb-backup", "exit status 1", "erver has gone away"}},
		{"the server is killed under mariadb-dump", "shard0/logical",
			func(t *testing.T, n string) { errorOf(t, l.Kill(ctx, n)) },
			func(t *testing.T, n string) { errorOf(t, l.Start(ctx, n)) },
			[]string{"mariadb-dump", "exit status"}},
		{"the node leaves its cluster under mariadb-backup", "shard0/physical",
			func(t *testing.T, n string) { root(t, n, "SET GLOBAL wsrep_provider_options='gmcast.isolate=1'") },
			rejoin,
			[]string{"WSREP has not yet prepared node"}},
		{"the node leaves its cluster under mariadb-dump", "shard0/logical",
			func(t *testing.T, n string) {
				onNode(t, l, n, "kill -STOP $(pidof mariadb-dump)") // it would be done before the node knows that it is alone
				root(t, n, "SET GLOBAL wsrep_provider_options='gmcast.isolate=1'")
				eventually(t, n+" alone", func() bool {
					out, err := l.SQL(ctx, n, "SHOW STATUS LIKE 'wsrep_cluster_status'")
					return err == nil && !strings.Contains(out, "\tPrimary")
				})
				onNode(t, l, n, "kill -CONT $(pidof mariadb-dump)")
			},
			rejoin,
			[]string{"WSREP has not yet prepared node"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			task := planned(t, s, c.component)
			err := strike(t, s, task, func() { c.happen(t, task.Host) })
			if c.mend != nil {
				c.mend(t, task.Host)
			}
			says(t, err, task.Host, c.says...)
			clean(t, l, task.Host)
		})
	}
}

func errorOf(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestCancelEndsTheToolAtOnce(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	for _, component := range []string{"shard0/physical", "shard0/logical"} {
		task := planned(t, s, component)
		ctx, cancel := context.WithCancel(limit(t, 3*time.Minute))
		tree := must[*treetest.Dir](t)(treetest.NewDir(filepath.Join(t.TempDir(), "tree")))
		sink := sinkOf(t, tree)
		sink.Read = func(int64) { cancel() }
		if _, err := s.Capture(ctx, task, sink); problem.KindOf(err) != problem.Interrupted && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want an interruption", component, err)
		}
		clean(t, l, task.Host)
	}
}

// full is a tree whose disk is full after some bytes.
type full struct {
	stream.Tree
	room *int64
}

type fullFile struct {
	stream.File
	room *int64
}

var errFull = errors.New("no space left in the vault")

func (f full) Create(path string, m stream.Meta, h stream.Hint) (stream.File, error) {
	file, err := f.Tree.Create(path, m, h)
	return fullFile{file, f.room}, err
}

func (f fullFile) Write(p []byte) (int, error) {
	if *f.room -= int64(len(p)); *f.room < 0 {
		return 0, errFull
	}
	return f.File.Write(p)
}

func TestFullVaultIsTheErrorNotTheToolItKills(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	for _, component := range []string{"shard0/physical", "shard0/logical"} {
		task := planned(t, s, component)
		room := int64(early)
		sink := sinkOf(t, nil)
		sink.Tree = full{must[*treetest.Dir](t)(treetest.NewDir(filepath.Join(t.TempDir(), "tree"))), &room}
		_, err := s.Capture(limit(t, 5*time.Minute), task, sink)
		if !errors.Is(err, errFull) || strings.Contains(err.Error(), "killed") {
			t.Errorf("%s: %v, want %v", component, err, errFull)
		}
		clean(t, l, task.Host)
	}
}

func TestMissingPrivilegesAreToldAsSQL(t *testing.T) {
	l := cluster(t)
	node := l.Shards[0].Nodes[0].Host
	root := asker(t, l, node)
	cases := []struct{ grants, component, lacks string }{
		{"RELOAD, BINLOG MONITOR", "shard0/physical", "PROCESS"},
		{"RELOAD, PROCESS", "shard0/physical", "BINLOG MONITOR"},
		{"SELECT, SHOW VIEW, EVENT", "shard0/logical", "TRIGGER"},
		{"PROCESS", "shard0/logical", "SELECT"},
	}
	for _, c := range cases {
		root("CREATE OR REPLACE USER poor@'%' IDENTIFIED BY '" + strings.ReplaceAll(strings.ReplaceAll(odd, `\`, `\\`), "'", "''") +
			"'; GRANT " + c.grants + " ON *.* TO poor@'%'")
		shard := shardOf(t, l)
		shard.User, shard.Password = "poor", secret.New(odd)
		s := New(Options{Shards: []Shard{shard}})
		task := planned(t, s, c.component)
		_, err := capture(t, s, task, filepath.Join(t.TempDir(), "tree"))
		says(t, err, task.Host, "lacks the privileges", c.lacks)
		if hint := problem.HintOf(err); !strings.Contains(hint, "GRANT ") || !strings.Contains(hint, c.lacks) {
			t.Errorf("%s without %s: hint %q is no SQL", c.component, c.lacks, hint)
		}
		if found := find(t, s.Check(limit(t, 3*time.Minute)), "mariadb "+node+": privileges"); found.Status != Fail ||
			!strings.Contains(found.Mend, c.lacks) || !strings.HasSuffix(found.Mend, " TO 'poor'@'%';") {
			t.Errorf("check without %s: %+v", c.lacks, found)
		}
		clean(t, l, task.Host)
	}
	root("DROP USER poor@'%'")
}

func TestCheckOfAHealthyCluster(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	for _, c := range s.Check(limit(t, 3*time.Minute)) {
		t.Logf("%s %s: %s %s", c.Status, c.Name, c.Detail, c.Mend)
		if c.Status != OK {
			t.Errorf("%s: %s: %s", c.Name, c.Status, c.Detail)
		}
	}
}

func TestWrongPasswordIsToldAsSuch(t *testing.T) {
	l := cluster(t)
	shard := shardOf(t, l)
	shard.Password = secret.New("wrong")
	s := New(Options{Shards: []Shard{shard}})
	plan := must[source.Plan](t)(s.Plan(limit(t, 3*time.Minute)))
	if len(plan.Tasks) != 0 || len(plan.Skipped) != 2 || !strings.Contains(plan.Skipped[0].Reason, "Access denied") {
		t.Errorf("plan %+v", plan)
	}
	c := find(t, s.Check(limit(t, 3*time.Minute)), "mariadb "+shard.Nodes[0].Name+": server")
	if c.Status != Fail || !strings.Contains(c.Mend, "mariadb.password") {
		t.Errorf("check %+v", c)
	}
}

func find(t *testing.T, checks []Check, name string) Check {
	t.Helper()
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, checks)
	return Check{}
}
