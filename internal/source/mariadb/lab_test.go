package mariadb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/treetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(holdEnv) != "" {
		holdForever()
	}
	labtest.Main(m)
}

// holdEnv makes the test program keep a node of the lab in that directory desynced until it is killed.
const holdEnv = "HOLDFAST_TEST_HOLD"

func holdForever() {
	l, err := lab.Open(os.Getenv(holdEnv))
	if err != nil {
		log.Fatal(err)
	}
	t := &testing.B{}
	node := os.Getenv(holdEnv + "_NODE")
	ctx := context.Background()
	sess, err := open(ctx, Shard{User: "root", Password: l.RootPassword()}, Node{Name: node, Host: over(t, l, node)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := hold(ctx, sess); err != nil {
		log.Fatal(err)
	}
	fmt.Println("held")
	select {}
}

// cluster is a lab with three Galera nodes that all tests share. Its data is larger than all buffers between a node and
// a test, so that a stream that is held up at its start is held up at the node.
func cluster(t testing.TB) *lab.Lab { return labtest.Shared(t, labtest.Bulk(48)) }

func limit(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test on err and else returns v.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// over is how the tests reach a host of the lab: by ssh, as an operator's machine does.
func over(t testing.TB, l *lab.Lab, name string) host.Host {
	t.Helper()
	h := must[lab.Host](t)(l.Host(name))
	return host.SSH{
		Name: name, Addr: "127.0.0.1", Port: h.Port, User: h.User, KeyFile: l.KeyFile, Sudo: h.User != "root",
		Args: []string{"-F", "/dev/null", "-o", "UserKnownHostsFile=" + l.KnownHosts},
	}
}

// password returns one of the deployment's passwords.
func password(t testing.TB, l *lab.Lab, key string) secret.Secret {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(filepath.Join(l.Options.Dir, "deploy/kolla/passwords.yml")))
	for line := range strings.Lines(string(text)) {
		if k, v, _ := strings.Cut(line, ":"); k == key {
			return secret.New(strings.Trim(strings.TrimSpace(v), `"'`))
		}
	}
	t.Fatalf("no password %s", key)
	return secret.Secret{}
}

// shardOf is the lab's first shard as the backup user sees it.
func shardOf(t testing.TB, l *lab.Lab) Shard {
	t.Helper()
	s := Shard{User: "backup", Password: password(t, l, "mariadb_backup_database_password")}
	for _, n := range l.Shards[0].Nodes {
		s.Nodes = append(s.Nodes, Node{Name: n.Host, Host: over(t, l, n.Host)})
	}
	return s
}

// planned plans a backup and returns the task of that name.
func planned(t testing.TB, s *Source, name string) source.Task {
	t.Helper()
	plan := must[source.Plan](t)(s.Plan(limit(t, 3*time.Minute)))
	for _, task := range plan.Tasks {
		if task.Name == name {
			return task
		}
	}
	t.Fatalf("no task %s in the plan: %+v", name, plan)
	return source.Task{}
}

// captured captures a component into a directory, which it returns.
func captured(t testing.TB, s *Source, name string) (string, source.Outcome) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	out, err := capture(t, s, planned(t, s, name), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, out
}

func capture(t testing.TB, s *Source, task source.Task, dir string) (source.Outcome, error) {
	t.Helper()
	tree := must[*treetest.Dir](t)(treetest.NewDir(dir))
	return s.Capture(limit(t, 5*time.Minute), task, sinkOf(t, tree))
}

func sinkOf(t testing.TB, tree *treetest.Dir) source.Sink {
	return source.Sink{Tree: tree, Read: func(int64) {}, Note: func(text string) { t.Log("note:", text) }}
}

// tool runs a program of this machine to its good end.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(limit(t, 2*time.Minute), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// private starts a server of its own on a datadir and returns what asks it.
func private(t testing.TB, datadir string) func(sql string) string {
	t.Helper()
	ask, _ := serve(t, datadir, "--skip-grant-tables")
	return ask
}

// fresh starts an empty server of its own and returns what asks it and what loads SQL into it.
func fresh(t testing.TB) (ask func(string) string, load func(io.Reader)) {
	t.Helper()
	dir := t.TempDir()
	datadir := filepath.Join(dir, "data")
	tool(t, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+datadir, "--tmpdir="+dir, "--skip-test-db")
	return serve(t, datadir)
}

// services puts a captured dump together again, without the database mysql: its accounts would lock the test out.
func services(t testing.TB, dir string) io.Reader {
	t.Helper()
	var sum sqldump.Summary
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(dir, sqldump.OrderPath))), &sum); err != nil {
		t.Fatal(err)
	}
	var parts []io.Reader
	for _, name := range sum.Order {
		if strings.HasPrefix(name, "mysql/") {
			continue
		}
		f := must[*os.File](t)(os.Open(filepath.Join(dir, name)))
		t.Cleanup(func() { f.Close() })
		parts = append(parts, f)
	}
	return io.MultiReader(parts...)
}

func serve(t testing.TB, datadir string, options ...string) (func(string) string, func(io.Reader)) {
	t.Helper()
	run := must[string](t)(os.MkdirTemp("", "hf-sql-"))
	t.Cleanup(func() { os.RemoveAll(run) })
	socket := filepath.Join(run, "s")
	cmd := exec.Command("mariadbd", append([]string{
		"--no-defaults", "--user=root", "--datadir=" + datadir, "--tmpdir=" + run, "--socket=" + socket, "--skip-networking",
		"--pid-file=" + filepath.Join(run, "pid"), "--plugin-dir=/usr/lib/mysql/plugin", "--innodb-buffer-pool-size=64M",
		"--innodb-flush-log-at-trx-commit=0",
	}, options...)...)
	errors := must[*os.File](t)(os.Create(filepath.Join(run, "log")))
	cmd.Stdout, cmd.Stderr = errors, errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended; errors.Close() })
	ask := func(sql string) (string, error) {
		out, err := exec.Command("mariadb", "--no-defaults", "--default-character-set=utf8mb4", "--socket="+socket, "-uroot", "-BN", "-e", sql).CombinedOutput()
		return string(out), err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := ask("SELECT 1"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(errors.Name())
			t.Fatalf("the restored server does not answer:\n%s", text)
		}
	}
	load := func(sql io.Reader) {
		t.Helper()
		cmd := exec.Command("mariadb", "--no-defaults", "--socket="+socket, "-uroot", "--binary-mode", "--default-character-set=utf8mb4")
		cmd.Stdin = sql
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("load: %v\n%s", err, out)
		}
	}
	return func(sql string) string { t.Helper(); return must[string](t)(ask(sql)) }, load
}

const baseTables = "SELECT CONCAT('`',TABLE_SCHEMA,'`.`',REPLACE(TABLE_NAME,'`','``'),'`') FROM information_schema.TABLES WHERE TABLE_TYPE='BASE TABLE' " +
	"AND TABLE_SCHEMA NOT IN ('mysql','sys','information_schema','performance_schema') ORDER BY 1"

// checksums is CHECKSUM TABLE of every table that services own, by table.
func checksums(t testing.TB, ask func(string) string) map[string]string {
	t.Helper()
	tables := strings.Split(strings.TrimSpace(ask(baseTables)), "\n")
	if len(tables) == 0 {
		t.Fatal("no tables")
	}
	sums := map[string]string{}
	for line := range strings.Lines(ask("CHECKSUM TABLE " + strings.Join(tables, ","))) {
		name, sum, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		sums[name] = sum
	}
	return sums
}

// asker asks a node of the lab as root.
func asker(t testing.TB, l *lab.Lab, node string) func(string) string {
	return func(sql string) string {
		t.Helper()
		return must[string](t)(l.SQL(limit(t, 3*time.Minute), node, sql))
	}
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}
