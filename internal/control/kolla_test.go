package control

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// desk is a directory with stand-ins for the commands of a node, which write down how they were called.
type desk struct {
	t   *testing.T
	dir string
}

func newDesk(t *testing.T) desk { return desk{t, t.TempDir()} }

// mock makes a stand-in for a command: it notes its arguments and then does what body says.
func (d desk) mock(name, body string) string {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	text := "#!/bin/sh\n# A stand-in for tests.\necho \"" + name + " $*\" >>" + d.dir + "/calls\n" + body + "\n"
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		d.t.Fatal(err)
	}
	return file
}

func (d desk) write(name, text string) string {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o660); err != nil {
		d.t.Fatal(err)
	}
	return file
}

func (d desk) read(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// calls are the command lines that the stand-ins saw.
func (d desk) calls() []string {
	return strings.Split(strings.TrimSpace(d.read("calls")), "\n")
}

func (d desk) wantCalls(want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.calls()); diff != "" {
		d.t.Errorf("calls (-want +got):\n%s", diff)
	}
}

var local = Node{Name: "ctl1", Machine: host.Local{}}

func TestRecoveryThroughKollaAnsible(t *testing.T) {
	for _, test := range []struct{ name, help, action string }{
		{"of 2025.1 and later", "mariadb-backup\nmariadb-recovery", "mariadb-recovery"},
		{"of earlier releases", "mariadb_backup\n  mariadb_recovery   Recover", "mariadb_recovery"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			tool := d.mock("mock-kolla-ansible", `[ "$LC_ALL" = C.UTF-8 ] || exit 9
[ "$1" != --help ] || printf '%s\n' '`+test.help+`'`)
			k := Kolla{Container: "mariadb", Ansible: []string{tool}, Inventory: []string{"/etc/kolla/multinode", "/etc/kolla/more"}, Deploy: host.Local{}}
			if err := k.Bootstrap(t.Context(), local); err != nil {
				t.Fatal(err)
			}
			d.wantCalls("mock-kolla-ansible --help",
				"mock-kolla-ansible "+test.action+" -i /etc/kolla/multinode -i /etc/kolla/more -e mariadb_recover_inventory_name=ctl1")
		})
	}
}

func TestRecoveryThatFailsSaysWhatToDo(t *testing.T) {
	d := newDesk(t)
	tool := d.mock("mock-kolla-ansible", `[ "$1" = --help ] || { echo 'ctl1 : FAILED! port in use' >&2; exit 2; }`)
	err := Kolla{Ansible: []string{tool}, Deploy: host.Local{}}.Bootstrap(t.Context(), local)
	if err == nil || !strings.Contains(err.Error(), "port in use") || !strings.Contains(problem.HintOf(err), "run mariadb-recovery again") {
		t.Errorf("error %v, hint %q", err, problem.HintOf(err))
	}
}

const galera = `[mysqld]
# wsrep_cluster_address = commented
wsrep_cluster_address = gcomm://10.0.0.1:4567,10.0.0.2:4567
wsrep_node_address = 10.0.0.1:4567
`

// engine is a stand-in for a container engine whose server answers at the second ping. It keeps what the server's
// configuration was when it started.
func (d desk) engine(start string) Kolla {
	d.write("kolla/mariadb/galera.cnf", galera)
	tool := d.mock("mock-engine", `case $1 in
start) cp `+d.dir+`/kolla/mariadb/galera.cnf `+d.dir+`/seen; `+start+` ;;
exec) [ -e `+d.dir+`/asked ] || { touch `+d.dir+`/asked; exit 1; } ;;
inspect) [ ! -e `+d.dir+`/dead ] && echo true || echo false ;;
esac`)
	return Kolla{Engine: tool, Container: "mariadb", ConfigDir: d.dir + "/kolla"}
}

func TestBootstrapPutsTheConfigurationBack(t *testing.T) {
	for _, test := range []struct{ name, start, want string }{
		{"when the server came up", ":", ""},
		{"when the container did not start", "echo 'no such image' >&2; exit 125", "no such image"},
		{"when the server ended", "touch $(dirname $0)/dead", "container mariadb stopped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			err := d.engine(test.start).Bootstrap(t.Context(), local)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if got := d.read("kolla/mariadb/galera.cnf"); got != galera {
				t.Errorf("galera.cnf is\n%s", got)
			}
			seen := d.read("seen")
			if !strings.Contains(seen, "\nwsrep_cluster_address = gcomm://\n") || !strings.Contains(seen, "# wsrep_cluster_address = commented\n") {
				t.Errorf("the server started with\n%s", seen)
			}
			left, err := filepath.Glob(d.dir + "/kolla/mariadb/*")
			if err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestBootstrapAfterOneThatWasKilled(t *testing.T) {
	d := newDesk(t)
	k := d.engine(":")
	d.write("kolla/mariadb/galera.cnf.holdfast-kept", galera)
	d.write("kolla/mariadb/galera.cnf", "[mysqld]\nwsrep_cluster_address = gcomm://\n")
	if err := k.Bootstrap(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	if got := d.read("kolla/mariadb/galera.cnf"); got != galera {
		t.Errorf("galera.cnf is\n%s", got)
	}
}

func TestBootstrapNeedsAnAddressToEmpty(t *testing.T) {
	d := newDesk(t)
	k := d.engine(":")
	d.write("kolla/mariadb/galera.cnf", "[mysqld]\n")
	err := k.Bootstrap(t.Context(), local)
	if err == nil || !strings.Contains(err.Error(), "names no wsrep_cluster_address") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(d.dir + "/calls"); err == nil {
		t.Errorf("the engine was called: %v", d.calls())
	}
}

// TestUnitsAreStoppedToo holds that a container under systemd is stopped through its unit, which would start it again.
func TestUnitsAreStoppedToo(t *testing.T) {
	for _, test := range []struct {
		name, systemctl string
		stop, start     []string
	}{
		{"with a unit", "exit 0",
			[]string{"systemctl cat kolla-mariadb-container.service", "systemctl stop kolla-mariadb-container.service", "mock-engine stop -t 300 mariadb"},
			[]string{"mock-engine start mariadb", "systemctl cat kolla-mariadb-container.service", "systemctl start kolla-mariadb-container.service"}},
		{"without one", "exit 1",
			[]string{"systemctl cat kolla-mariadb-container.service", "mock-engine stop -t 300 mariadb"},
			[]string{"mock-engine start mariadb", "systemctl cat kolla-mariadb-container.service"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			k := d.engine(":")
			d.mock("systemctl", test.systemctl)
			t.Setenv("PATH", d.dir+":"+os.Getenv("PATH"))
			if err := k.Stop(t.Context(), local); err != nil {
				t.Fatal(err)
			}
			if err := k.Join(t.Context(), local); err != nil {
				t.Fatal(err)
			}
			d.wantCalls(append(test.stop, test.start...)...)
		})
	}
}

func TestCommands(t *testing.T) {
	d := newDesk(t)
	note := d.mock("note", "")
	c := Command{StopCommand: note + " stop", StartCommand: note + " 'start it'"}
	if err := c.Stop(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	if err := c.Join(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	d.wantCalls("note stop", "note start it")
	err := c.Bootstrap(t.Context(), local)
	if problem.KindOf(err) != problem.Usage || !strings.Contains(problem.HintOf(err), "mariadb.control") {
		t.Errorf("without a command: %v", err)
	}
	c.BootstrapCommand = "echo broken >&2; exit 3"
	if err := c.Bootstrap(t.Context(), local); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a command that fails: %v", err)
	}
}

// TestBootstrapThatIsCutOff kills the command while the server starts: the configuration is put back all the same.
func TestBootstrapThatIsCutOff(t *testing.T) {
	d := newDesk(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.engine("touch $(dirname $0)/starting; sleep 2").Bootstrap(ctx, local) }()
	await(t, "the container starts", func() bool { return exists(d.dir + "/starting") })
	cancel()
	if err := <-ended; err == nil {
		t.Error("a bootstrap that was cut off counts as done")
	}
	await(t, "galera.cnf is put back", func() bool {
		return !exists(d.dir+"/kolla/mariadb/galera.cnf.holdfast-kept") && d.read("kolla/mariadb/galera.cnf") == galera
	})
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("within half a minute it did not happen that %s", what)
		}
	}
}
