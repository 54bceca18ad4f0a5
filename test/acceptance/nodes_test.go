package acceptance

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/restore"
	"holdfast/test/journey"
)

// cluster is a command line that restores the scene's point onto its cluster.
func (s scene) cluster(more ...string) []string {
	return append([]string{"restore", "mariadb", s.point.ID, "--cluster", "--yes"}, more...)
}

// plan is the plan of a restore of the cluster.
func (s scene) plan(t *testing.T, op *journey.Operator, more ...string) restore.Plan {
	t.Helper()
	var p restore.Plan
	if err := json.Unmarshal([]byte(op.Run(s.cluster(append(more, "--dry-run", "--json")...)...)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// assertRestored demands every row on every node, and one whole cluster.
func (s scene) assertRestored(t *testing.T) {
	t.Helper()
	assertCluster(t, s.lab)
	for _, n := range s.lab.Nodes() {
		journey.SameSums(t, s.sums, journey.Sums(t, s.lab, n.Host))
	}
}

// olds are the datadirs that restores kept on a node.
func (s scene) olds(t *testing.T, node string) []string {
	t.Helper()
	found, err := filepath.Glob(s.lab.Datadir(node) + ".holdfast-*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// forget removes what restores kept.
func (s scene) forget(t *testing.T) {
	t.Helper()
	for _, n := range s.lab.Nodes() {
		for _, dir := range s.olds(t, n.Host) {
			shell(t, s.lab, n.Host, "rm -rf /var/lib/mysql/"+filepath.Base(dir))
		}
	}
}

// takeBack does what a plan says to undo a restore, word for word.
func (s scene) takeBack(t *testing.T, undo []string) {
	t.Helper()
	for _, n := range s.lab.Nodes() {
		if s.lab.PID(n.Host) == 0 {
			continue
		}
		if err := s.lab.Stop(t.Context(), n.Host); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range undo {
		if node, command, ok := strings.Cut(strings.TrimPrefix(step, "on "), ", with all servers stopped: "); ok {
			shell(t, s.lab, node, command)
		}
	}
	for i, n := range s.lab.Nodes() {
		start := s.lab.Start
		if i == 0 {
			start = s.lab.Bootstrap
		}
		if err := start(t.Context(), n.Host); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClusterTakenBack restores a point, then the same point again, and takes the last restore back.
func TestClusterTakenBack(t *testing.T) {
	s := onStage(t)
	defer s.forget(t)
	s.op.Run(s.cluster()...)
	s.assertRestored(t)
	query(t, s.lab, "ctl2", "CREATE DATABASE after_point; CREATE TABLE after_point.t (id INT PRIMARY KEY); INSERT INTO after_point.t VALUES (7)")
	plan := s.plan(t, s.op)
	if !strings.Contains(strings.Join(plan.Notes, "\n"), "an earlier restore of this point left") {
		t.Errorf("the plan does not tell what is kept: %q", plan.Notes)
	}
	s.op.Run(s.cluster()...)
	s.assertRestored(t)
	if kept := s.olds(t, "ctl1"); len(kept) != 2 {
		t.Errorf("old datadirs are %q, want two", kept)
	}
	s.takeBack(t, plan.Undo)
	assertCluster(t, s.lab)
	for _, n := range s.lab.Nodes() {
		if got := query(t, s.lab, n.Host, "SELECT id FROM after_point.t"); got != "7" {
			t.Errorf("%s: what was there before the restore did not come back: %q", n.Host, got)
		}
	}
	query(t, s.lab, "ctl1", "DROP DATABASE after_point")
	s.assertRestored(t)
}

// TestClusterCutOff kills Holdfast when the servers are down, and runs the same restore again.
func TestClusterCutOff(t *testing.T) {
	s := onStage(t)
	for _, step := range []string{"move the old datadirs aside", "start ctl1 as a new cluster"} {
		t.Run(step, func(t *testing.T) {
			s.op = journey.At(t, s.site)
			defer s.forget(t)
			run := s.op.Start(s.cluster()...)
			if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == step }); !ok {
				t.Fatalf("it did not come to %q: %+v", step, run.Wait())
			}
			if _, ok := run.Kill(); !ok {
				t.Fatal("it ended before it was killed")
			}
			s.op.Run(s.cluster()...)
			s.assertRestored(t)
			for _, n := range s.lab.Nodes() {
				if len(s.olds(t, n.Host)) == 0 {
					t.Errorf("%s: the old datadir is not kept", n.Host)
				}
			}
		})
	}
}

// TestClusterThatDoesNotStart gives the restored server a broken file: the restore fails, keeps everything and says how
// to go back, which works.
func TestClusterThatDoesNotStart(t *testing.T) {
	s := onStage(t)
	defer s.forget(t)
	op := s.elsewhere(t, func(config string) string {
		return strings.Replace(config, "bootstrap: ", "bootstrap: truncate -s 1M /var/lib/mysql/data/ibdata1; ", 1)
	})
	plan := s.plan(t, op, "--old-to", "/var/lib/mysql/old")
	r := op.Fails(1, []string{"the server on ctl1 ended before it was Synced", "the old datadirs are kept", "error log"},
		s.cluster("--old-to", "/var/lib/mysql/old")...)
	for _, step := range plan.Undo {
		if !strings.Contains(r.Stderr, step) {
			t.Errorf("the error does not say %q:\n%s", step, r.Stderr)
		}
	}
	s.takeBack(t, plan.Undo)
	s.assertRestored(t)
}

// TestClusterThatDoesNotStop fails before anything was touched, and says that.
func TestClusterThatDoesNotStop(t *testing.T) {
	s := onStage(t)
	for _, stop := range []string{"'true'", "echo cannot >&2; exit 1"} {
		op := s.elsewhere(t, func(config string) string {
			return strings.Replace(config, "stop: /etc/kolla/lab/mariadb-stop", "stop: "+stop, 1)
		})
		r := op.Fails(1, []string{"no datadir was touched"}, s.cluster()...)
		if strings.Contains(r.Stderr, "rm -rf") {
			t.Errorf("the error tells to remove a datadir that was not replaced:\n%s", r.Stderr)
		}
	}
	s.forget(t)
	s.assertRestored(t)
}

// TestClusterRefusals looks at every reason not to begin.
func TestClusterRefusals(t *testing.T) {
	s := onStage(t)
	t.Run("writers", func(t *testing.T) {
		s.op = journey.At(t, s.site)
		s.connect(t)
		s.op.Fails(1, []string{"connected to ctl2", "(1)", "--accept writers"}, s.cluster()...)
		if p := s.plan(t, s.op, "--accept", "writers"); len(p.Refusals) != 1 || p.Refusals[0].Name != restore.AcceptWriters {
			t.Errorf("refusals are %+v", p.Refusals)
		}
	})
	t.Run("a login that the server refuses", func(t *testing.T) {
		op := s.elsewhere(t, func(config string) string {
			return strings.Replace(config, "{kolla_key: mariadb_backup_database_password}", "{kolla_key: keystone_admin_password}", 1)
		})
		op.Fails(1, []string{"runs and cannot be asked", "--accept writers"}, s.cluster()...)
	})
	t.Run("a node that does not answer", func(t *testing.T) {
		h, err := s.lab.Host("ctl3")
		if err != nil {
			t.Fatal(err)
		}
		inventory := filepath.Join(s.lab.Options.Dir, "deploy/inventory/multinode")
		cut := filepath.Join(t.TempDir(), "multinode")
		write(t, cut, strings.ReplaceAll(read(t, inventory), fmt.Sprint(h.Port), "1"))
		op := s.elsewhere(t, func(config string) string { return strings.Replace(config, inventory, cut, 1) })
		op.Fails(1, []string{"ctl3"}, s.cluster()...)
	})
	t.Run("places for the old datadir", func(t *testing.T) {
		s.op = journey.At(t, s.site)
		s.op.Fails(2, []string{"no absolute path"}, s.cluster("--old-to", "old")...)
		s.op.Fails(1, []string{"lies in the datadir"}, s.cluster("--old-to", "/var/lib/mysql/data/old")...)
		s.op.Fails(2, []string{"does not know"}, s.cluster("--accept", "everything")...)
		s.op.Fails(2, []string{"no shard 7"}, s.cluster("--shard", "7")...)
	})
	s.assertRestored(t)
}

// connect holds a client's connection to ctl2 until the test ends.
func (s scene) connect(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.lab.SQL(t.Context(), "ctl2", "SELECT SLEEP(300)")
	}()
	t.Cleanup(func() { <-done })
	count := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(300)%' AND ID <> CONNECTION_ID()"
	for tick, end := time.NewTicker(50*time.Millisecond), time.Now().Add(time.Minute); query(t, s.lab, "ctl2", count) != "1"; <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the client did not connect")
		}
	}
}

// TestShards restores one of two clusters and leaves the other alone, and refuses the copy of another cloud.
func TestShards(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), func(o *lab.Options) { o.Shards = 2; o.ShardNodes = 1 })
	first, second := l.Shards[0].Nodes[0].Host, l.Shards[1].Nodes[0].Host
	op := journey.New(t, l)
	op.Init()
	p := op.Backup()
	for _, name := range []string{"shard0/physical", "shard0/logical", "shard1/physical", "shard1/logical"} {
		if c, ok := p.Component("mariadb", name); !ok || c.State != "good" {
			t.Errorf("%s is %+v", name, c)
		}
	}
	sums := journey.Sums(t, l, second)
	query(t, l, first, "CREATE DATABASE stays")
	query(t, l, second, "DROP DATABASE nova")
	op.Run("restore", "mariadb", p.ID, "--cluster", "--shard", "1", "--yes")
	journey.SameSums(t, sums, journey.Sums(t, l, second))
	if got := query(t, l, first, "SHOW DATABASES LIKE 'stays'"); got != "stays" {
		t.Error("the other shard was touched")
	}

	s := onStage(t)
	stranger := journey.At(t, s.site.Copy(t, l))
	stranger.Fails(1, []string{first + " belongs to cluster", "--accept identity"}, s.cluster()...)
	stranger.Fails(1, []string{first + " belongs to cluster", "--accept identity"}, "restore", "table", s.point.ID, "scene.small", "--yes")
	// Accepted by name it goes on, until the accounts of the other cloud lock Holdfast out: as after a change of passwords.
	stranger.Fails(1, []string{"on " + first + " refuses the login of backup", "as they were when the copy was taken", "the old datadirs are kept"},
		s.cluster("--accept", "identity")...)
}
