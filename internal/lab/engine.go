package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// With Options.Containers every node's host runs a docker engine of its own, with its socket at /run/docker.sock and
// its data below /var/lib/docker, both the host's alone, and mariadbd runs in its container mariadb, laid out as Kolla
// lays it out. Up calls startEngines once the hosts are up, and containShard when a shard's datadirs are filled and
// none of its nodes runs; podman.go has what is different with Options.Podman. The engines have no network: containers use the host's. All processes of an engine end with
// their host, but its control groups stay and are removed by name.

// startEngines starts all engines and gives each the image: the first one unpacks it, the others get its files as
// hard links, which costs neither time nor space. No engine ever writes to them again.
func (l *Lab) startEngines(ctx context.Context) error {
	nodes := l.Nodes()
	if l.Options.Podman {
		return l.onNodes(ctx, nodes, l.startPodman)
	}
	if err := l.startEngine(ctx, nodes[0]); err != nil {
		return fmt.Errorf("host %s: %w", nodes[0].Host, err)
	}
	if err := l.importImage(ctx, nodes[0].Host); err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	return l.onNodes(ctx, nodes[1:], func(ctx context.Context, n Node) error {
		for _, store := range []string{"image", "overlay2"} {
			from := filepath.Join(l.HostDir(nodes[0].Host), "var-lib-docker", store)
			to := filepath.Join(l.HostDir(n.Host), "var-lib-docker")
			if _, err := output(exec.CommandContext(ctx, "cp", "-al", from, to)); err != nil {
				return fmt.Errorf("copy image: %w", err)
			}
		}
		return l.startEngine(ctx, n)
	})
}

// onNodes does something for several nodes at once.
func (l *Lab) onNodes(ctx context.Context, nodes []Node, do func(context.Context, Node) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		g.Go(func() error {
			if err := do(ctx, n); err != nil {
				return fmt.Errorf("host %s: %w", n.Host, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// startEngine starts dockerd on n's host and waits until it answers.
func (l *Lab) startEngine(ctx context.Context, n Node) error {
	config, err := engineConfig(l.cgroup(n.Host))
	if err != nil {
		return fmt.Errorf("render daemon.json: %w", err)
	}
	const script = `mkdir -p /etc/docker && cat >/etc/docker/daemon.json
setsid dockerd --pidfile=/run/docker.pid </dev/null >>/var/log/dockerd.log 2>&1 3<&- &`
	cmd, err := l.Command(ctx, n.Host, "sh", "-c", script)
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(config)
	if _, err := output(cmd); err != nil {
		return err
	}
	return l.awaitEngine(ctx, n)
}

// engineConfig is the host's /etc/docker/daemon.json.
func engineConfig(cgroup string) (string, error) {
	b, err := json.MarshalIndent(map[string]any{
		"bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false,
		"exec-opts": []string{"native.cgroupdriver=cgroupfs"}, "cgroup-parent": cgroup,
		"log-opts": map[string]string{"max-size": "10m"},
	}, "", "  ")
	return string(b) + "\n", err
}

func (l *Lab) awaitEngine(ctx context.Context, n Node) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		_, err := l.engine(ctx, n.Host, "version")
		return err == nil, nil
	})
	if err != nil {
		log, _ := l.Run(context.WithoutCancel(ctx), n.Host, "tail", "-n", "20", "/var/log/dockerd.log")
		return fmt.Errorf("wait for dockerd: %w\n%s", err, log)
	}
	return nil
}

// engine runs a command of a host's engine.
func (l *Lab) engine(ctx context.Context, host string, args ...string) (string, error) {
	cmd, err := l.engineCommand(ctx, host, args...)
	if err != nil {
		return "", err
	}
	return output(cmd)
}

// engineCommand is a command of a host's engine, whatever this process's environment says.
func (l *Lab) engineCommand(ctx context.Context, host string, args ...string) (*exec.Cmd, error) {
	if l.Options.Podman {
		return l.Command(ctx, host, append([]string{"podman"}, args...)...)
	}
	return l.Command(ctx, host, append([]string{"docker", "--host", "unix:///run/docker.sock"}, args...)...)
}

// cgroup is the control group above all containers of a host. Its name is the lab's own as long as the lab holds its
// ports.
func (l *Lab) cgroup(host string) string { return fmt.Sprintf("/holdfast-lab-%d-%s", l.PortBase, host) }

// inContainer reports whether pid runs in a container of the host.
func (l *Lab) inContainer(pid int, host string) bool {
	groups, err := os.ReadFile(procPath(pid, "cgroup"))
	return err == nil && strings.Contains(string(groups), l.cgroup(host)+"/")
}

// removeCgroups removes the control groups of engines that ended. The kernel refuses as long as a process is in one.
func (l *Lab) removeCgroups(ctx context.Context) error {
	var left error
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		left = nil
		for _, dir := range l.cgroups() {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left = err
			}
		}
		return left == nil, nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("remove control groups: %w", err), left)
	}
	return nil
}

// cgroups returns the directories of the lab's control groups, children first, in either version of the hierarchy.
func (l *Lab) cgroups() []string {
	var dirs []string
	for _, n := range l.Nodes() {
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			roots, err := filepath.Glob(pattern + l.cgroup(n.Host))
			if err != nil {
				continue
			}
			for _, root := range roots {
				dirs = append(dirs, directoriesBelow(root)...)
			}
		}
	}
	slices.Reverse(dirs)
	return dirs
}

// directoriesBelow lists root and the directories below it, parents first; what vanishes meanwhile is left out.
func directoriesBelow(root string) []string {
	var dirs []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}
