package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// process names a process so that another one of the same machine can tell whether it lives. Boot and Space are those of the
// machine's run and of the namespace in which PID means something.
type process struct {
	Host    string `json:"host"`
	Boot    string `json:"boot"`
	Space   string `json:"space"`
	PID     int    `json:"pid"`
	Started string `json:"started"` // in ticks of the kernel, which no other process by this number has
}

func thisProcess() process {
	p := process{PID: os.Getpid(), Boot: bootID(), Space: pidSpace()}
	p.Host, _ = os.Hostname() // only told
	p.Started, _ = started(p.PID)
	return p
}

// dead reports whether the process is known to have ended; of one on another machine that is never known.
func (p process) dead() bool {
	if p.Boot == "" || p.Space == "" || p.Started == "" || p.Boot != bootID() || p.Space != pidSpace() {
		return false
	}
	at, err := started(p.PID)
	return errors.Is(err, fs.ErrNotExist) || err == nil && at != p.Started
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func pidSpace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return name
}

// startField is the one of /proc/PID/stat that tells when a process was started, counted from the end of its name.
const startField = 19

func started(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) <= startField {
		return "", fmt.Errorf("process %d has no start", pid)
	}
	if fields[0] == "Z" { // it has ended, and nobody asked for it yet
		return "", fs.ErrNotExist
	}
	return fields[startField], nil
}
