package fault

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/event"
	"holdfast/test/journey"
)

// copying is mariadb-backup while it copies.
func copying(p journey.Process) bool {
	return p.Name() == "mariadb-backup" && p.Has("--stream=mbstream")
}

// dumping is mariadb-dump while it dumps everything.
func dumping(p journey.Process) bool { return p.Name() == "mariadb-dump" && p.Has("--all-databases") }

// transport returns the ssh client of run that alone carries a stream from a host.
func transport(t *testing.T, s *scene, run *journey.Run, host string) journey.Process {
	t.Helper()
	h, err := s.lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range journey.Descendants(run.PID()) {
		if p.Name() == "ssh" && p.Has(fmt.Sprint(h.Port)) && !strings.Contains(strings.Join(p.Args, " "), "ControlPath=") {
			return p
		}
	}
	t.Fatalf("no ssh to %s among the children of holdfast", host)
	return journey.Process{}
}

// TestMidCopy strikes in the middle of one of the two copies. The other one is good, so that the point is partial.
func TestMidCopy(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name      string
		component string
		victim    func(journey.Process) bool
		after     int64 // bytes written
		strike    func(t *testing.T, s *scene, run *journey.Run, victim journey.Process)
		mend      func(t *testing.T, s *scene, victim journey.Process)
		says      []string
	}{
		{
			"mariadb-backup is killed", "shard0/physical", copying, mib,
			func(t *testing.T, _ *scene, _ *journey.Run, v journey.Process) { v.Signal(t, syscall.SIGKILL) }, nil,
			[]string{"mariadb-backup", "killed by signal KILL", "kernel log"},
		},
		{
			"mariadb-dump is killed", "shard0/logical", dumping, mib / 4,
			func(t *testing.T, _ *scene, _ *journey.Run, v journey.Process) { v.Signal(t, syscall.SIGKILL) }, nil,
			[]string{"mariadb-dump", "killed by signal KILL", "kernel log"},
		},
		{"the server cuts the dump", "shard0/logical", dumping, mib / 4, cutDump, nil, []string{"mariadb-dump", "exit status"}},
		{"the connection of the copy is cut", "shard0/physical", copying, mib, cutConnection, nil, []string{"mariadb-backup", "connection"}},
		{"the node's server is killed", "shard0/physical", copying, mib, killServer, startServer, []string{"mariadb-backup"}},
		{"the node is cut off from its cluster", "shard0/physical", copying, mib, isolate, rejoin, []string{"mariadb-backup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shared(t)
			before := s.Points()
			run := s.Start("backup", "mariadb")
			victim := run.Freeze(s.lab, c.component, c.after, c.victim)
			t.Logf("struck %v after %d bytes", victim, victim.Written())
			c.strike(t, s, run, victim)
			victim.Continue()
			r := run.Wait()
			if c.mend != nil {
				c.mend(t, s, victim)
			}
			id := s.onlyNew(before)
			said(t, r, 3, id, "partial", "mariadb "+c.component)
			p := s.spoiled(id, c.component, append(c.says, victim.Host)...)
			t.Logf("it says: %s", reasonOf(p, c.component))
			s.Fails(4, []string{c.component, "hint"}, restoreOf(t, id, c.component)...)
			s.kept(before)
			s.next()
		})
	}
}

// restoreOf is a restore of a component.
func restoreOf(t *testing.T, id, component string) []string {
	if strings.HasSuffix(component, "logical") {
		return []string{"restore", "table", id, "cinder.volumes", "--yes"}
	}
	return []string{"restore", "mariadb", id, "--to", t.TempDir() + "/datadir", "--yes"}
}

// cutDump ends the dump's connection on the server.
func cutDump(t *testing.T, s *scene, _ *journey.Run, v journey.Process) {
	t.Helper()
	out, err := s.lab.SQL(t.Context(), v.Host, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER='backup'")
	if err != nil || out == "" {
		t.Fatalf("connections of the dump: %q, %v", out, err)
	}
	for id := range strings.Lines(out) {
		if _, err := s.lab.SQL(t.Context(), v.Host, "KILL CONNECTION "+id); err != nil {
			t.Fatal(err)
		}
	}
}

func cutConnection(t *testing.T, s *scene, run *journey.Run, v journey.Process) {
	t.Helper()
	transport(t, s, run, v.Host).Signal(t, syscall.SIGKILL)
}

func killServer(t *testing.T, s *scene, _ *journey.Run, v journey.Process) {
	t.Helper()
	if err := s.lab.Kill(t.Context(), v.Host); err != nil {
		t.Fatal(err)
	}
}

func startServer(t *testing.T, s *scene, v journey.Process) {
	t.Helper()
	if err := s.lab.Start(t.Context(), v.Host); err != nil {
		t.Fatal(err)
	}
}

// isolate cuts the node off and waits until the others know.
func isolate(t *testing.T, s *scene, _ *journey.Run, v journey.Process) {
	t.Helper()
	provider(t, s, v, "gmcast.isolate=1")
	awaitStatus(t, s, v, "wsrep_cluster_status\tnon-Primary")
}

func rejoin(t *testing.T, s *scene, v journey.Process) {
	t.Helper()
	provider(t, s, v, "gmcast.isolate=0")
	awaitStatus(t, s, v, "wsrep_cluster_status\tPrimary")
}

func provider(t *testing.T, s *scene, v journey.Process, option string) {
	t.Helper()
	if _, err := s.lab.SQL(t.Context(), v.Host, "SET GLOBAL wsrep_provider_options='"+option+"'"); err != nil {
		t.Fatal(err)
	}
}

func awaitStatus(t *testing.T, s *scene, v journey.Process, want string) {
	t.Helper()
	await(t, want, func() bool {
		out, err := s.lab.SQL(t.Context(), v.Host, "SHOW STATUS LIKE 'wsrep_cluster_status'")
		return err == nil && out == want
	})
}

// TestInterrupt presses ctrl-C in the middle of both copies.
func TestInterrupt(t *testing.T) {
	s := shared(t)
	before := s.Points()
	run := s.Start("backup", "mariadb")
	victim := run.Freeze(s.lab, "shard0/physical", 1<<20, copying)
	children := journey.Descendants(run.PID())
	run.Interrupt()
	victim.Signal(t, syscall.SIGCONT)
	r := run.Wait()
	if r.Code != 130 {
		t.Errorf("exit code %d, want 130: %s", r.Code, r.Stderr)
	}
	s.nothingNew(before)
	s.kept(before, children...)
	next := s.next()
	for _, n := range next.Notes {
		if strings.Contains(n, "was killed") {
			t.Errorf("an interrupted run is told as killed: %s", n)
		}
	}
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.RunFinished }); ok {
		t.Error("the interrupted run told that it had finished")
	}
}
