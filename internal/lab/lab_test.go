package lab_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/problem"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// ssh runs a command as root on a host, as an operator would.
func ssh(t *testing.T, l *lab.Lab, host string, command string) string {
	t.Helper()
	h, err := l.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	if h.User != "root" {
		command = "sudo -n sh -c '" + strings.ReplaceAll(command, "'", `'\''`) + "'"
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-i", l.KeyFile, "-o", "UserKnownHostsFile="+l.KnownHosts,
		"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-p", strconv.Itoa(h.Port), h.User+"@127.0.0.1", command).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh %s %s: %v\n%s", host, command, err, out)
	}
	return strings.TrimSpace(string(out))
}

func sql(t *testing.T, l *lab.Lab, node, statement string) string {
	t.Helper()
	out, err := l.SQL(t.Context(), node, statement)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// traces are what a lab in dir has on this machine: processes with dir on their command line or in their mounts, mounts,
// and listeners on its ports.
func traces(t *testing.T, dir string, base int) []string {
	t.Helper()
	var found []string
	procs, err := filepath.Glob("/proc/[1-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		mounts, _ := os.ReadFile(filepath.Join(p, "mountinfo")) // it may have ended
		if strings.Contains(string(mounts), dir+"/hosts/") {
			comm, _ := os.ReadFile(filepath.Join(p, "comm"))
			found = append(found, p+" "+strings.TrimSpace(string(comm)))
		}
	}
	return append(found, listeners(t, base)...)
}

// listeners returns the addresses that somebody listens on within the block of ports at base.
func listeners(t *testing.T, base int) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ss", "-Hltn").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		addr := strings.Fields(line)[3]
		_, p, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if port, err := strconv.Atoi(p); err == nil && port >= base && port < base+200 {
			found = append(found, addr)
		}
	}
	return found
}

// gone waits until check finds nothing more.
func gone(t *testing.T, check func() []string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := check()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestUpDown(t *testing.T) {
	machine := machineState(t)
	l := labtest.New(t)
	for _, n := range l.Nodes() {
		if got := sql(t, l, n.Host, "SELECT variable_value FROM information_schema.global_status WHERE variable_name IN "+
			"('wsrep_cluster_size', 'wsrep_local_state_comment', 'wsrep_cluster_status') ORDER BY 1"); got != "3\nPrimary\nSynced" {
			t.Errorf("node %s: %q", n.Host, got)
		}
		home := "/run/root"
		if n.Host == "ctl3" {
			home = "/run/" + lab.SudoUser
		}
		if got := ssh(t, l, n.Host, "hostname; stat -c %U /var/lib/mysql; ls /etc/mysql; pwd; ls -A"); got != n.Host+"\nmysql\nmy.cnf\n"+home {
			t.Errorf("host %s shows %q", n.Host, got)
		}
	}
	addrs := listeners(t, l.PortBase)
	if want := len(l.Hosts) + 2*len(l.Nodes()); len(addrs) != want {
		t.Errorf("%d listeners, want %d: %q", len(addrs), want, addrs)
	}
	for _, a := range addrs {
		if !strings.HasPrefix(a, "127.0.0.1:") {
			t.Errorf("listens on %s", a)
		}
	}
	dir := l.Options.Dir
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, func() []string { return traces(t, dir, l.PortBase) })
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("directory: %v", err)
	}
	if diff := cmp.Diff(machine, machineState(t)); diff != "" {
		t.Errorf("the machine changed:\n%s", diff)
	}
}

// machineState is what a lab lays its own things over, as the machine itself sees it.
func machineState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, dir := range []string{"/etc/mysql", "/etc/kolla", "/var/lib/mysql", "/var/lib/docker", "/var/log/kolla", "/run/mysqld", "/run/sshd"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			state[dir] = "absent"
		}
		for _, e := range entries {
			state[dir] += e.Name() + "\n"
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "holdfast-lab") {
			state["mounts"] += line
		}
	}
	return state
}

func TestWritesReachAllNodes(t *testing.T) {
	l := labtest.Shared(t)
	sql(t, l, "ctl2", "CREATE DATABASE reach; CREATE TABLE reach.a (id INT PRIMARY KEY); INSERT INTO reach.a VALUES (1), (2)")
	defer sql(t, l, "ctl2", "DROP DATABASE reach")
	for _, n := range l.Nodes() {
		if got := sql(t, l, n.Host, "SET SESSION wsrep_sync_wait=1; SELECT SUM(id) FROM reach.a"); got != "3" {
			t.Errorf("node %s has %q", n.Host, got)
		}
	}
	gtid := sql(t, l, "ctl1", "SELECT @@gtid_binlog_pos")
	if other := sql(t, l, "ctl3", "SELECT @@gtid_binlog_pos"); gtid == "" || gtid != other {
		t.Errorf("GTID positions %q and %q", gtid, other)
	}
}

func TestSchemasAndAccounts(t *testing.T) {
	l := labtest.Shared(t)
	for _, q := range []string{
		"SELECT COUNT(*) > 0 FROM keystone.project", "SELECT COUNT(*) > 100 FROM cinder.volumes", "SELECT COUNT(*) > 100 FROM nova.instances",
		"SELECT COUNT(*) = 0 FROM mysql.global_priv WHERE user IN ('root', '') AND (JSON_VALUE(priv, '$.authentication_string') = '')",
	} {
		if got := sql(t, l, "ctl3", q); got != "1" {
			t.Errorf("%s: %q", q, got)
		}
	}
	grants, _, _ := strings.Cut(strings.TrimPrefix(sql(t, l, "ctl1", "SHOW GRANTS FOR backup@'%'"), "GRANT "), " ON *.* TO ")
	got := strings.Split(grants, ", ")
	slices.Sort(got)
	want := []string{"BINLOG MONITOR", "EVENT", "PROCESS", "RELOAD", "REPLICATION SLAVE", "SELECT", "SHOW VIEW", "TRIGGER"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants of backup:\n%s", diff)
	}
}

func TestNodeControl(t *testing.T) {
	l := labtest.Shared(t)
	if err := l.Stop(t.Context(), "ctl3"); err != nil {
		t.Fatal(err)
	}
	if pid := l.PID("ctl3"); pid != 0 {
		t.Errorf("mariadbd still runs as %d", pid)
	}
	sql(t, l, "ctl1", "CREATE DATABASE control")
	if err := l.Start(t.Context(), "ctl3"); err != nil {
		t.Fatal(err)
	}
	if got := sql(t, l, "ctl3", "SHOW DATABASES LIKE 'control'"); got != "control" {
		t.Errorf("the restarted node has %q", got)
	}
	if err := l.Kill(t.Context(), "ctl2"); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context(), "ctl2"); err != nil { // by a full state transfer
		t.Fatal(err)
	}
	if got := sql(t, l, "ctl2", "DROP DATABASE control; SHOW STATUS LIKE 'wsrep_cluster_size'"); got != "wsrep_cluster_size\t3" {
		t.Errorf("after the kill: %q", got)
	}
}

// The commands that holdfast.yml names must come back over ssh at once and leave mariadbd running.
func TestControlScriptsOverSSH(t *testing.T) {
	l := labtest.Shared(t)
	ssh(t, l, "ctl3", "/etc/kolla/lab/mariadb-stop")
	began := time.Now()
	ssh(t, l, "ctl3", "/etc/kolla/lab/mariadb-start")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("start kept the session for %v", took)
	}
	if err := l.AwaitSynced(t.Context(), "ctl3"); err != nil {
		t.Fatal(err)
	}
}

func TestTwoLabsAndHostsAlone(t *testing.T) {
	began := time.Now()
	a, b := labtest.New(t, labtest.Hosts), labtest.New(t, labtest.Hosts)
	t.Logf("two labs of hosts in %v", time.Since(began))
	if a.PortBase == b.PortBase {
		t.Errorf("both labs have the ports at %d", a.PortBase)
	}
	ssh(t, a, "cmp1", "echo a >/etc/kolla/mine; echo a >/etc/mine; mkdir /var/log/mine")
	if got := ssh(t, b, "cmp1", "cat /etc/kolla/mine /etc/mine 2>&1; ls -d /var/log/mine 2>&1 || true"); strings.Contains(got, "\na") {
		t.Errorf("a file of one lab is seen in the other: %s", got)
	}
	if got := ssh(t, a, "cmp2", "ls /etc/kolla/mine 2>/dev/null || echo none"); got != "none" {
		t.Errorf("a file of one host is seen on another: %s", got)
	}
	if _, err := os.Stat("/etc/mine"); !os.IsNotExist(err) {
		t.Errorf("a file of a host is seen on the machine: %v", err)
	}
	if got := ssh(t, a, "cmp1", "ps -e -o comm="); strings.Count(got, "sshd") > 4 {
		t.Errorf("a host sees processes of others:\n%s", got)
	}
	if err := a.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ssh(t, b, "cmp1", "hostname"); got != "cmp1" {
		t.Errorf("the other lab answers %q", got)
	}
}

func TestUpRefusesAndCleansUp(t *testing.T) {
	l := labtest.New(t, labtest.Hosts)
	quiet := func(string) {}
	if _, err := lab.Up(t.Context(), lab.Options{Dir: l.Options.Dir}, quiet); problem.KindOf(err) != problem.Busy {
		t.Errorf("a second lab in the same directory: %v", err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Up(t.Context(), lab.Options{Dir: full}, quiet); problem.KindOf(err) != problem.Usage {
		t.Errorf("a lab in a directory with files: %v", err)
	}
	if _, err := os.Stat(filepath.Join(full, "precious")); err != nil {
		t.Errorf("the refused directory: %v", err)
	}
}

// A test's lab must not outlive the test, however that ends.
func TestBoundLabEndsWithItsProcess(t *testing.T) {
	if dir := os.Getenv("LAB_TEST_BOUND"); dir != "" {
		if _, err := lab.Up(t.Context(), lab.Options{Dir: dir, Bound: true}, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	dir := filepath.Join(t.TempDir(), "lab")
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBoundLabEndsWithItsProcess$")
	self.Env = append(os.Environ(), "LAB_TEST_BOUND="+dir)
	if out, err := self.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process that brings the lab up: %v\n%s", err, out)
	}
	l, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Hosts) == 0 {
		t.Fatal("the lab had no hosts")
	}
	gone(t, func() []string { return traces(t, dir, l.PortBase) })
}

// A lab that is interrupted while it comes up leaves no process, and its directory serves for the next one.
func TestInterruptedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	_, err := lab.Up(ctx, lab.Options{Dir: dir, Galera: 1}, func(string) {
		if steps++; steps == 3 {
			cancel()
		}
	})
	if err == nil {
		t.Fatal("an interrupted Up reports success")
	}
	l, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, func() []string { return traces(t, dir, l.PortBase) })
	l, err = lab.Up(t.Context(), lab.Options{Dir: dir}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
}
