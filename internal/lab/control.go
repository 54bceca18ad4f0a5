package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Stop shuts the node's mariadbd down cleanly and waits for its end.
func (l *Lab) Stop(ctx context.Context, name string) error {
	_, err := l.Run(ctx, name, stopScript)
	return err
}

// Start starts the node, which joins its cluster, and waits until it is synced.
func (l *Lab) Start(ctx context.Context, name string) error {
	return l.startNode(ctx, name, startScript)
}

// Bootstrap starts a new cluster from the node and waits until it is synced.
func (l *Lab) Bootstrap(ctx context.Context, name string) error {
	return l.startNode(ctx, name, bootstrapScript)
}

// startTries is how often a node is started that ends before it is synced, as the service manager of a real node would do.
const startTries = 4

func (l *Lab) startNode(ctx context.Context, name, script string) error {
	n, err := l.Node(name)
	if err != nil {
		return err
	}
	for try := range startTries {
		if err = l.launchScript(ctx, n, script, l.donor(n, try)...); err != nil {
			return err
		}
		if err = l.AwaitSynced(ctx, name); err == nil || l.PID(name) != 0 {
			return err
		}
		if err := l.awaitOthers(ctx, n); err != nil {
			return err
		}
	}
	return err
}

// donor is the option that makes a node ask another donor at each try. A node that joined lately may no longer have the
// write sets that the certification index of a joiner begins with: it turns the joiner away, and Galera would choose it
// again and again.
func (l *Lab) donor(n Node, try int) []string {
	others := slices.DeleteFunc(slices.Clone(l.shard(n.Shard).Nodes), func(m Node) bool { return m.Host == n.Host })
	if try == 0 || len(others) == 0 || l.Options.Containers {
		return nil
	}
	return []string{"--wsrep-sst-donor=" + others[(try-1)%len(others)].Host}
}

// awaitOthers waits until the running nodes of n's cluster are synced: one that was n's donor may not have noticed yet
// that n is gone.
func (l *Lab) awaitOthers(ctx context.Context, n Node) error {
	for _, m := range l.shard(n.Shard).Nodes {
		if m.Host == n.Host || l.PID(m.Host) == 0 {
			continue
		}
		if err := l.AwaitSynced(ctx, m.Host); err != nil {
			return err
		}
	}
	return nil
}

// launchScript starts mariadbd on n's host by a script that passes args on to it, and does not wait for it.
func (l *Lab) launchScript(ctx context.Context, n Node, script string, args ...string) error {
	_, err := l.Run(ctx, n.Host, append([]string{script}, args...)...)
	return err
}

// PID returns the process number, as this machine counts, of the node's mariadbd, or 0 when it does not run.
func (l *Lab) PID(name string) int {
	init, ok := findHosts(l.Options.Dir)[name]
	if !ok {
		return 0
	}
	return processOn(init, "mariadbd")
}

// Kill ends the node's mariadbd with SIGKILL and waits until it is gone.
func (l *Lab) Kill(ctx context.Context, name string) error {
	pid := l.PID(name)
	if pid == 0 {
		return fmt.Errorf("mariadbd of %s does not run", name)
	}
	is := func() bool { return hostOf(pid, l.Options.Dir) == name || l.inContainer(pid, name) }
	if err := killVerified(pid, is); err != nil {
		return fmt.Errorf("kill mariadbd of %s: %w", name, err)
	}
	return poll(ctx, 10*time.Millisecond, func() (bool, error) { return l.PID(name) != pid, nil })
}

// AwaitSynced waits until the node answers SQL as a synced member of its cluster's primary component.
func (l *Lab) AwaitSynced(ctx context.Context, name string) error {
	n, err := l.Node(name)
	if err != nil {
		return err
	}
	return l.await(ctx, n, "is synced", func(ctx context.Context) bool {
		out, err := l.SQL(ctx, name, "SHOW STATUS LIKE 'wsrep_local_state_comment'")
		return err == nil && strings.HasSuffix(out, "\tSynced")
	})
}

// await polls n until ready; it gives up early when mariadbd ended.
func (l *Lab) await(ctx context.Context, n Node, what string, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	began := time.Now()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if ready(ctx) {
			return true, nil
		}
		if time.Since(began) > 3*time.Second && l.PID(n.Host) == 0 {
			return false, fmt.Errorf("mariadbd ended")
		}
		return false, nil
	})
	if err != nil {
		var logs strings.Builder
		for _, m := range l.shard(n.Shard).Nodes { // a joiner's trouble is in its donor's log
			fmt.Fprintf(&logs, "\n%s: ...%s", m.Host, tail(l.logFile(m.Host)))
		}
		return fmt.Errorf("wait until node %s %s: %w%s", n.Host, what, err, logs.String())
	}
	return nil
}

// SQL runs statements on the node as root and returns the rows, columns parted by tabs, without headings.
func (l *Lab) SQL(ctx context.Context, name, statements string) (string, error) {
	return l.Script(ctx, name, strings.NewReader(statements))
}

// Script is SQL for statements that come from a reader.
func (l *Lab) Script(ctx context.Context, name string, statements io.Reader) (string, error) {
	n, err := l.Node(name)
	if err != nil {
		return "", err
	}
	login, err := l.login()
	if err != nil {
		return "", err
	}
	defer login.Close()
	cmd := exec.CommandContext(ctx, "mariadb", "--defaults-file=/dev/fd/3", "--batch", "--skip-column-names",
		"--default-character-set=utf8mb4", "--host=127.0.0.1", "--port="+strconv.Itoa(n.SQLPort))
	cmd.ExtraFiles = []*os.File{login}
	cmd.Stdin = statements
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return output(cmd)
}

// login returns an unnamed file in memory with root's name and password, for a client's --defaults-file.
func (l *Lab) login() (*os.File, error) {
	fd, err := unix.MemfdCreate("lab-login", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create login file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "lab-login")
	if err := f.Chmod(0o600); err != nil { // clients ignore option files that others may write
		f.Close()
		return nil, fmt.Errorf("protect login file: %w", err)
	}
	text := fmt.Sprintf("[client]\nuser=root\npassword=%s\n", l.rootPassword.Reveal())
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write login file: %w", err)
	}
	return f, nil
}
