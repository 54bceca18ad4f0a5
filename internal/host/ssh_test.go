package host_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/host"
)

func TestSSH(t *testing.T) {
	s := startSSHD(t)
	conform(t, func(t *testing.T) host.Host { return s.host(t, "id", "known") })
}

func TestSSHProblems(t *testing.T) {
	s := startSSHD(t)
	closed := s.host(t, "id", "known")
	closed.Port = freePort(t)
	nameless := s.host(t, "id", "known")
	nameless.Addr = "no-such-host.invalid"
	for name, c := range map[string]struct {
		h           host.SSH
		cause, hint string
	}{
		"unknown host key":   {s.host(t, "id", "known.empty"), "the host key of ctl1 is unknown", "ssh-keyscan"},
		"changed host key":   {s.host(t, "id", "known.changed"), "the host key of ctl1 has changed", "ssh-keygen -R"},
		"wrong key":          {s.host(t, "stranger", "known"), "ctl1 refused the key", "authorized_keys"},
		"connection refused": {closed, "nothing answers on the ssh port of ctl1", "sshd runs on 127.0.0.1"},
		"unknown name":       {nameless, "does not resolve", "inventory"},
		"exit 0, no trailer": {s.host(t, "mute", "known"), "exit status 0", "try again"},
	} {
		err := host.Run(within(t, 30*time.Second), c.h, host.Cmd{Args: []string{"echo", "x"}})
		if !errors.Is(err, host.ErrNoTrailer) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: got %v", name, err)
		}
		wantHint(t, err, c.hint)
	}
}

// TestSSHCut kills either end of a connection while a command runs.
func TestSSHCut(t *testing.T) {
	s := startSSHD(t)
	for name, kill := range map[string]func(p *host.Process){
		"client": func(p *host.Process) { _ = syscall.Kill(p.TransportPID(), syscall.SIGKILL) },
		"server": func(*host.Process) { killChildren(s.pid) },
	} {
		p, word := started(t, t.Context(), s.host(t, "id", "known"), nil)
		kill(p)
		if err := p.Wait(); !errors.Is(err, host.ErrNoTrailer) {
			t.Errorf("%s: got %v", name, err)
		}
		wantGone(t, word)
	}
}

// killChildren kills the processes whose parent is pid.
func killChildren(pid int) {
	files, _ := os.ReadDir("/proc")
	for _, f := range files {
		b, _ := os.ReadFile("/proc/" + f.Name() + "/stat")
		_, after, ok := strings.Cut(string(b), ") ")
		if fields := strings.Fields(after); ok && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(f.Name()); err == nil {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
	}
}
