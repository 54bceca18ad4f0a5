package lab

import (
	"context"
	"fmt"
	"strings"
)

// What the engines of hosts with podman are told. Locks lie in files, since all hosts share the memory that podman would
// keep them in. The usual limits are more than the machine may let a container have.
const (
	podmanConf = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
`
	podmanStorage = `[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`
)

// startPodman makes podman ready on n's host, where it needs no daemon, and gives it the image.
func (l *Lab) startPodman(ctx context.Context, n Node) error {
	for name, text := range map[string]string{"containers.conf": podmanConf, "storage.conf": podmanStorage} {
		cmd, err := l.Command(ctx, n.Host, "sh", "-c", "mkdir -p /etc/containers && cat >/etc/containers/"+name)
		if err != nil {
			return err
		}
		cmd.Stdin = strings.NewReader(text)
		if _, err := output(cmd); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := l.importImage(ctx, n.Host); err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	return nil
}

// volumes is the directory of the engine's volumes below a host's HostDir.
func (l *Lab) volumes() string {
	if l.Options.Podman {
		return "var-lib-containers/storage/volumes"
	}
	return "var-lib-docker/volumes"
}

// forEngine makes a script that drives docker drive the lab's engine.
func (l *Lab) forEngine(script string) string {
	if l.Options.Podman {
		return strings.Replace(script, "\nengine=docker\n", "\nengine=podman\n", 1)
	}
	return script
}
