package journey

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/lab"
)

// Process is a process of this machine, on a host of the lab or not. Its number and the moment of its birth name it.
type Process struct {
	PID  int
	Host string // of the lab, "" for none
	Args []string

	born string
}

// String is for messages.
func (p Process) String() string {
	args := strings.Join(p.Args, " ")
	return fmt.Sprintf("%d on %q: %.120s", p.PID, p.Host, strings.ReplaceAll(args, "\n", " "))
}

// Name is the program that runs, without its directory.
func (p Process) Name() string {
	if len(p.Args) == 0 {
		return ""
	}
	return filepath.Base(p.Args[0])
}

// Has reports whether arg is one of the arguments.
func (p Process) Has(arg string) bool {
	for _, a := range p.Args {
		if a == arg {
			return true
		}
	}
	return false
}

// All returns the processes of this machine, of all its namespaces. Those that ended meanwhile and those without a
// command line are left out.
func All() []Process {
	dirs, err := filepath.Glob("/proc/[1-9]*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var all []Process
	for _, dir := range dirs {
		if p, ok := inspect(dir); ok {
			all = append(all, p)
		}
	}
	return all
}

func inspect(dir string) (Process, bool) {
	pid, err := strconv.Atoi(filepath.Base(dir))
	line, err2 := os.ReadFile(dir + "/cmdline")
	f := stat(pid)
	if err != nil || err2 != nil || len(line) == 0 || len(f) < 20 || f[0] == "Z" {
		return Process{}, false
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	return Process{PID: pid, Args: args, born: f[19]}, true
}

// stat is /proc/PID/stat from the state on.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// Alive reports whether the process still runs.
func (p Process) Alive() bool {
	f := stat(p.PID)
	return len(f) >= 20 && f[0] != "Z" && f[0] != "X" && f[19] == p.born
}

// OnHosts returns the processes on the lab's hosts.
func OnHosts(l *lab.Lab) []Process {
	var found []Process
	for _, p := range All() {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.PID))
		if err != nil || !strings.Contains(string(mounts), l.Options.Dir+"/hosts/") {
			continue
		}
		for _, h := range l.Hosts {
			if strings.Contains(string(mounts), " "+l.HostDir(h.Name)+"/mnt ") {
				p.Host = h.Name
			}
		}
		found = append(found, p)
	}
	return found
}

// Descendants returns the processes below pid.
func Descendants(pid int) []Process {
	children := map[int][]Process{}
	for _, p := range All() {
		if f := stat(p.PID); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], p)
		}
	}
	var found []Process
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		for _, p := range children[todo[0]] {
			found = append(found, p)
			todo = append(todo, p.PID)
		}
	}
	return found
}

// Signal sends a signal to the process, and to no other that has got its number.
func (p Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	handle, err := os.FindProcess(p.PID) // holds the process, not the number
	if err != nil || !p.Alive() {
		t.Fatalf("%v is gone", p)
	}
	defer handle.Release()
	if err := handle.Signal(s); err != nil {
		t.Fatalf("send %v to %v: %v", s, p, err)
	}
}

// Continue lets a stopped process run on, if it is still there: one that was killed may be on its way out.
func (p Process) Continue() {
	handle, err := os.FindProcess(p.PID)
	if err != nil || !p.Alive() {
		return
	}
	defer handle.Release()
	_ = handle.Signal(syscall.SIGCONT) // it may be gone by now
}

// Written is how many bytes the process has written so far, anywhere.
func (p Process) Written() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.PID))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// Freeze waits until a component's process that fits is on a host of the lab and has written some bytes, and stops it
// there, so that the test can act in the middle of its work. It runs in slices of a few milliseconds until then.
func (r *Run) Freeze(l *lab.Lab, component string, written int64, fits func(Process) bool) Process {
	r.t.Helper()
	r.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == component })
	return r.freeze(r.find(l, fits), written)
}

// FreezeChild is Freeze for a process that the command started on this machine, as soon as it is there.
func (r *Run) FreezeChild(written int64, fits func(Process) bool) Process {
	r.t.Helper()
	for tick := time.NewTicker(time.Millisecond); ; {
		for _, p := range Descendants(r.PID()) {
			if fits(p) {
				tick.Stop()
				return r.freeze(p, written)
			}
		}
		select {
		case <-r.ended:
			r.t.Fatalf("holdfast ended before the process was there: %s", r.events.text())
		case <-tick.C:
		}
	}
}

func (r *Run) freeze(p Process, written int64) Process {
	for slice := time.NewTicker(3 * time.Millisecond); ; <-slice.C {
		p.Signal(r.t, syscall.SIGSTOP)
		if p.Written() >= written {
			slice.Stop()
			r.t.Cleanup(func() {
				p.Continue()
			})
			return p
		}
		p.Signal(r.t, syscall.SIGCONT)
	}
}

// find waits for a process on the lab's hosts.
func (r *Run) find(l *lab.Lab, fits func(Process) bool) Process {
	r.t.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		for _, p := range All() {
			if !fits(p) {
				continue
			}
			for _, q := range OnHosts(l) {
				if q.PID == p.PID && q.born == p.born {
					tick.Stop()
					return q
				}
			}
		}
		select {
		case <-r.ended:
			r.t.Fatalf("holdfast ended before the process was there: %s", r.events.text())
		case <-tick.C:
		}
	}
}

// resident are the programs that a lab's hosts run when nobody works with them, and connections without a command.
func resident(p Process) bool {
	switch p.Name() {
	case "mariadbd":
		return true
	case "sh":
		return len(p.Args) > 1 && strings.HasSuffix(p.Args[1], "/boot.sh")
	}
	return strings.HasPrefix(p.Args[0], "sshd: ")
}

// Quiet waits until nothing but its servers runs on the lab's hosts, and none of others does anywhere, and fails the
// test when that takes more than a few seconds. A connection that commands share may stay a little longer.
func Quiet(t testing.TB, l *lab.Lab, others ...Process) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		left := leftovers(l, others)
		if len(left) == 0 {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			for _, p := range left {
				t.Errorf("left running: %v", p)
			}
			t.FailNow()
		}
	}
}

func leftovers(l *lab.Lab, others []Process) []Process {
	var left []Process
	for _, p := range OnHosts(l) {
		if !resident(p) {
			left = append(left, p)
		}
	}
	for _, p := range others {
		if p.Alive() {
			left = append(left, p)
		}
	}
	return left
}
