package lab

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed files/boot.sh
var bootScript string

// hostHome is root's home on a host: in its memory and empty, so that nothing of the machine's profile runs.
const hostHome = "/run/root"

// hostEnv is the environment of what the lab runs on a host; nothing of ours reaches it.
var hostEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + hostHome, "LANG=C.UTF-8"}

// startHosts starts all hosts at once and waits until their sshd answers.
func (l *Lab) startHosts(ctx context.Context, lock *os.File) error {
	inherit := []*os.File{lock}
	if l.Options.Bound {
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("bind lab to this process: %w", err)
		}
		defer r.Close()
		l.lifeline, inherit = w, append(inherit, r)
	}
	for _, h := range l.Hosts {
		if err := l.startHost(h, inherit); err != nil {
			return err
		}
	}
	for _, h := range l.Hosts {
		if err := l.awaitSSH(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// startHost starts the first process of h in namespaces of its own. It outlives this process, unless it is bound.
func (l *Lab) startHost(h Host, inherit []*os.File) error {
	dir := l.HostDir(h.Name)
	out, err := os.OpenFile(filepath.Join(dir, "boot.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open boot log: %w", err)
	}
	defer out.Close()
	cmd := exec.Command("/bin/sh", l.path("boot.sh"), dir, h.Name)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	cmd.Env = hostEnv
	cmd.ExtraFiles = inherit
	if l.Options.Bound {
		cmd.Args = append(cmd.Args, "bound")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start host %s: %w", h.Name, err)
	}
	go cmd.Wait() // reaps it when it ends before this process does
	return nil
}

// awaitSSH waits until h's sshd accepts connections.
func (l *Lab) awaitSSH(ctx context.Context, h Host) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := poll(ctx, 10*time.Millisecond, func() (bool, error) {
		conn, err := net.Dial("tcp", h.Addr())
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		logs := tail(l.path("hosts", h.Name, "boot.log")) + tail(l.path("hosts", h.Name, "sshd.log"))
		return fmt.Errorf("host %s does not answer: %w\n%s", h.Name, err, logs)
	}
	return nil
}

// Addr is where the host's sshd listens.
func (h Host) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Port)) }

// Command returns a command that runs on host name as root, without ssh. Its environment is the host's, not ours.
func (l *Lab) Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	init, ok := findHosts(l.Options.Dir)[name]
	if !ok {
		return nil, fmt.Errorf("host %s is not up", name)
	}
	enter := []string{"--target", strconv.Itoa(init), "--mount", "--uts", "--pid", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Dir, cmd.Env = "/", hostEnv
	return cmd, nil
}

// Run runs a command on host name and returns its output; the error holds what it wrote to stderr.
func (l *Lab) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd, err := l.Command(ctx, name, args...)
	if err != nil {
		return "", err
	}
	return output(cmd)
}

// output runs cmd and returns its stdout without the last newline.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// poll calls done every interval until it reports true, fails, or ctx ends.
func poll(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// tail returns the end of a log for an error message.
func tail(file string) string {
	const most = 2000
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return string(b[max(0, len(b)-most):])
}
