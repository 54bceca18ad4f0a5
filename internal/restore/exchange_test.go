package restore

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/source/mariadb"
)

const someID = "20261122-110606-f1dd"

// machine is a directory with a server's datadir in it, on which the scripts run with commands that can be made to die.
type machine struct {
	t                     *testing.T
	dir, datadir, oldTo   string
	dies, called          string // files that hold at which command the script dies, and how many it has called
	node                  ClusterNode
	staged, otherVolume   bool
	wantData, wantReplace map[string]string
}

// commandsFrom is this machine with a search path of its own.
type commandsFrom struct {
	host.Local
	path string
}

func (f commandsFrom) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	c.Env = append(slices.Clone(c.Env), "PATH="+f.path)
	return f.Local.Start(ctx, c)
}

// mortal are the commands that change something.
var mortal = []string{"mv", "rm", "mkdir", "rmdir", "chown", "chmod", "cp", "sync", "ln"}

func newMachine(t *testing.T, staged, otherVolume, data bool) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{
		t: t, dir: dir, datadir: filepath.Join(dir, "lib/data"), dies: filepath.Join(dir, "dies"), called: filepath.Join(dir, "called"),
		node: ClusterNode{Node: control.Node{Name: "ctl1"}, Server: mariadb.Node{Name: "ctl1"}}, staged: staged, otherVolume: otherVolume,
		wantData: map[string]string{}, wantReplace: map[string]string{},
	}
	if otherVolume {
		m.oldTo = filepath.Join(dir, "elsewhere/old")
	}
	if staged {
		m.wantReplace = map[string]string{"ibdata1": "restored"}
	}
	m.write("lib/data", 0o750, nil)
	if data {
		m.wantData = map[string]string{"ibdata1": "old", "nova/x.ibd": "rows"}
		m.write("lib/data", 0o750, m.wantData)
	}
	m.install()
	return m
}

func (m *machine) write(name string, mode fs.FileMode, files map[string]string) {
	m.t.Helper()
	dir := filepath.Join(m.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	for file, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, mode); err != nil {
		m.t.Fatal(err)
	}
}

// install puts commands that can die in front of the real ones.
func (m *machine) install() {
	m.t.Helper()
	scripts := map[string]string{"my_print_defaults": "echo --datadir=" + m.datadir}
	for _, name := range mortal {
		real, err := exec.LookPath(name)
		if err != nil {
			m.t.Fatal(err)
		}
		if name == "ln" && m.otherVolume {
			real = "false" // as between file systems
		}
		scripts[name] = fmt.Sprintf(`n=$(($(cat %[1]s) + 1)); echo "$n" >%[1]s
die() { # a shell's last command is run in its own place, with the supervisor for its parent
	[ "$(tr '\0' '\n' </proc/$PPID/cmdline | sed -n 2p)" != -euc ] || kill -9 $PPID
	kill -9 $$
}
case $(cat %[2]s) in
"$n before") die ;;
"$n after") %[3]s "$@"; die ;;
esac
exec %[3]s "$@"`, m.called, m.dies, real)
	}
	for name, text := range scripts {
		m.write("bin", 0o755, map[string]string{name: "#!/bin/sh\n" + text + "\n"})
		if err := os.Chmod(filepath.Join(m.dir, "bin", name), 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	m.node.Machine = commandsFrom{path: filepath.Join(m.dir, "bin") + ":" + os.Getenv("PATH")}
	m.dieAt("")
}

func (m *machine) dieAt(when string) {
	m.write("", 0o755, map[string]string{"dies": when, "called": "0"})
}

// restore does what a restore does to the machine: look, stage, exchange.
func (m *machine) restore(when string) error {
	m.t.Helper()
	m.dieAt("")
	p, err := survey(m.t.Context(), m.node, someID, m.oldTo)
	if err != nil {
		m.t.Fatalf("look again: %v", err)
	}
	if p.mode != "750" {
		m.t.Errorf("the datadir's mode is taken for %s", p.mode)
	}
	staged := ""
	if m.staged {
		staged = p.staging(someID)
		if !p.ready {
			m.write("lib/"+filepath.Base(staged), 0o700, m.wantReplace)
			if err := p.own(m.t.Context(), m.node, someID); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	m.dieAt(when)
	return p.exchange(m.t.Context(), m.node, someID, staged)
}

// files are the contents of a directory's files, without the mark.
func (m *machine) files(dir string) map[string]string {
	m.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == markName {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		found[rel] = string(text)
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	return found
}

// check demands the new datadir, the old one kept once, and nothing else.
func (m *machine) check() {
	m.t.Helper()
	if diff := cmp.Diff(m.wantReplace, m.files(m.datadir)); diff != "" {
		m.t.Errorf("new datadir (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(m.datadir); err != nil || info.Mode().Perm() != 0o750 {
		m.t.Errorf("new datadir: %v, %v", info.Mode(), err)
	}
	var all []string
	for _, pattern := range []string{"lib/*", "elsewhere/old/*"} {
		names, err := filepath.Glob(filepath.Join(m.dir, pattern))
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, names...)
	}
	kept := m.datadir + ".holdfast-old-" + someID
	if m.otherVolume {
		kept = filepath.Join(m.oldTo, "mariadb-"+someID)
	}
	want := []string{m.datadir, kept}
	slices.Sort(all)
	if slices.Sort(want); !slices.Equal(all, want) {
		m.t.Errorf("there is %q, want %q", all, want)
	}
	if diff := cmp.Diff(m.wantData, m.files(kept)); diff != "" {
		m.t.Errorf("kept datadir (-want +got):\n%s", diff)
	}
}

// TestExchangeGoesOn cuts the exchange of datadirs off before and after each command that changes something, and
// restores again: the old datadir is kept once and whole, the new one is in place, with the old one's mode.
func TestExchangeGoesOn(t *testing.T) {
	for _, test := range []struct {
		name                      string
		staged, otherVolume, data bool
	}{
		{"first node", true, false, true},
		{"first node, old datadir to another file system", true, true, true},
		{"first node, empty", true, false, false},
		{"other node", false, false, true},
		{"other node, old datadir to another file system", false, true, true},
		{"other node, empty", false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // a script that was killed is waited for, at no cost
			cuts := 0
			for done := false; !done; cuts++ {
				for _, side := range []string{"before", "after"} {
					t.Run(fmt.Sprintf("%s command %d", side, cuts+1), func(t *testing.T) {
						m := newMachine(t, test.staged, test.otherVolume, test.data)
						err := m.restore(fmt.Sprintf("%d %s", cuts+1, side))
						if n, _ := strconv.Atoi(strings.TrimSpace(readFile(t, m.called))); n <= cuts {
							done = true
						}
						if (err == nil) != done {
							t.Fatalf("cut off: %v", err)
						}
						if err != nil {
							if err := m.restore(""); err != nil {
								t.Fatalf("again: %v", err)
							}
						}
						m.check()
					})
				}
			}
			if cuts < 8 {
				t.Errorf("the exchange had %d commands to be cut off at", cuts)
			}
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUsedDatadirIsKept restores again after a server has worked in what the first restore put in place, by whoever's
// hand: that is no leftover.
func TestUsedDatadirIsKept(t *testing.T) {
	for _, used := range []bool{false, true} {
		m := newMachine(t, true, false, true)
		if err := m.restore(""); err != nil {
			t.Fatal(err)
		}
		if used {
			m.write("lib/data", 0o750, map[string]string{"ib_logfile0": "written to"})
			later := time.Now().Add(time.Second) // than the clock of files can tell apart
			if err := os.Chtimes(m.datadir+"/ib_logfile0", later, later); err != nil {
				t.Fatal(err)
			}
		}
		p, err := survey(t.Context(), m.node, someID, "")
		if err != nil {
			t.Fatal(err)
		}
		if p.spare == used || p.moved() == used {
			t.Errorf("used: %v; it looks like %+v", used, p)
		}
		if err := m.restore(""); err != nil {
			t.Fatal(err)
		}
		second := m.datadir + ".holdfast-old-" + someID + "-2"
		if _, err := os.Stat(second); (err == nil) != used {
			t.Errorf("used: %v; a second datadir is kept: %v", used, err)
		}
		if p.use(t.Context(), m.node) != nil {
			t.Error("the mark cannot be taken away")
		}
		if p, err = survey(t.Context(), m.node, someID, ""); err != nil || p.spare || p.moved() {
			t.Errorf("in use it looks like %+v, %v", p, err)
		}
	}
}

// TestMovedElsewhere looks for a datadir that an interrupted restore moved to a place that is not named again.
func TestMovedElsewhere(t *testing.T) {
	m := newMachine(t, false, true, true)
	if err := os.MkdirAll(m.oldTo, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.datadir, m.oldTo+"/mariadb-"+someID); err != nil {
		t.Fatal(err)
	}
	m.write("lib/data.holdfast-empty-"+someID, 0o750, nil)
	if _, err := survey(t.Context(), m.node, someID, ""); err == nil || !strings.Contains(err.Error(), "has moved") {
		t.Errorf("error %v", err)
	}
	if err := m.restore(""); err != nil {
		t.Error(err)
	}
	m.check()
}

// TestStagedCopyIsTakenOnce looks at what interrupted restores may leave beside the datadir.
func TestStagedCopyIsTakenOnce(t *testing.T) {
	m := newMachine(t, true, false, true)
	look := func(stale, ready bool) place {
		t.Helper()
		p, err := survey(t.Context(), m.node, someID, "")
		if err != nil || p.stale != stale || p.ready != ready {
			t.Errorf("stale %v and ready %v, want %v and %v; %v", p.stale, p.ready, stale, ready, err)
		}
		return p
	}
	p := look(false, false)
	m.write("lib/data.holdfast-new-"+someID, 0o700, map[string]string{"ibdata1": "half"})
	look(true, false)
	if err := p.own(t.Context(), m.node, someID); err != nil {
		t.Fatal(err)
	}
	look(true, true)
	m.write("lib/data.holdfast-new-"+someID, 0o700, map[string]string{"ibdata1": "changed"})
	look(true, false)
	m.write("lib/data.holdfast-new-20251122-110606-aaaa", 0o700, nil)
	if p := look(true, false); !strings.HasSuffix(p.left, "-aaaa") {
		t.Errorf("of another point there is %q", p.left)
	}
}
