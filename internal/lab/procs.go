package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// findHosts returns the first process of every host that is up in dir, by host name: those processes whose mount
// table holds the host's own tmpfs and that are number 1 of their process namespace.
func findHosts(dir string) map[string]int {
	found := map[string]int{}
	for _, pid := range pids() {
		if name := hostOf(pid, dir); name != "" && isInit(pid) {
			found[name] = pid
		}
	}
	return found
}

// hostOf returns the name of the host in dir that pid runs on, or "".
func hostOf(pid int, dir string) string {
	b, err := os.ReadFile(procPath(pid, "mountinfo"))
	if err != nil {
		return ""
	}
	prefix := filepath.Join(dir, "hosts") + "/"
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.Contains(line, " holdfast-lab ") {
			continue
		}
		rest, ok := strings.CutPrefix(fields[4], prefix)
		if name, last, _ := strings.Cut(rest, "/"); ok && last == "mnt" {
			return name
		}
	}
	return ""
}

// isInit reports whether pid is the living first process of a process namespace below ours.
func isInit(pid int) bool {
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if key == "State" && f[0] == "Z" {
			return false
		}
		if key == "NSpid" {
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// processOn returns the process of that command name on the host whose first process is init, in a container or not,
// or 0.
func processOn(init int, comm string) int {
	for _, pid := range pids() {
		name, err := os.ReadFile(procPath(pid, "comm"))
		if err == nil && strings.TrimSpace(string(name)) == comm && alive(pid) && belongs(pid, init) {
			return pid
		}
	}
	return 0
}

// belongs reports whether pid is in init's process namespace, or descends from it.
func belongs(pid, init int) bool {
	space, err := os.Readlink(procPath(init, "ns/pid"))
	if err != nil {
		return false
	}
	for pid > 1 {
		if s, err := os.Readlink(procPath(pid, "ns/pid")); err == nil && s == space {
			return true
		}
		pid = parent(pid)
	}
	return false
}

// parent returns the parent of pid, 0 when pid is gone.
func parent(pid int) int {
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			ppid, _ := strconv.Atoi(strings.TrimSpace(value))
			return ppid
		}
	}
	return 0
}

// alive reports whether pid runs; a process that ended and waits for its parent does not.
func alive(pid int) bool {
	exe, err := os.Readlink(procPath(pid, "exe"))
	return err == nil && exe != ""
}

// killVerified sends SIGKILL to pid if it still is what the caller looked for. The check is made while holding a
// handle on the process, so that the signal can never reach another process that was given the same number.
func killVerified(pid int, is func() bool) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	defer p.Release()
	if !is() {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil && alive(pid) {
		return err
	}
	return nil
}

func pids() []int {
	names, err := filepath.Glob("/proc/[1-9]*")
	if err != nil {
		return nil
	}
	var all []int
	for _, n := range names {
		if pid, err := strconv.Atoi(filepath.Base(n)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }
