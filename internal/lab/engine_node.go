package lab

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed files/container-start files/container-stop
var containerFiles embed.FS

// containerFlags are what Kolla gives the mariadb container.
var containerFlags = []string{
	"--name=mariadb", "--network=host", "--user=mysql", "--stop-timeout=60", "--label=kolla_version=2025.1",
	"--env=KOLLA_CONFIG_STRATEGY=COPY_ALWAYS", "--env=KOLLA_SERVICE_NAME=mariadb", "--env=KOLLA_BASE_DISTRO=debian",
	"--volume=/etc/kolla/mariadb/:/var/lib/kolla/config_files/:ro", "--volume=mariadb:/var/lib/mysql",
	"--volume=mariadb_backup:/backup", "--volume=kolla_logs:/var/log/kolla",
}

// containShard moves the shard's datadirs into volumes and makes the containers, which do not start by themselves.
func (l *Lab) containShard(ctx context.Context, s Shard) error {
	return l.onNodes(ctx, s.Nodes, l.contain)
}

func (l *Lab) contain(ctx context.Context, n Node) error {
	create := append([]string{"create"}, containerFlags...)
	if l.Options.Podman {
		create = append(create, "--cgroup-parent="+l.cgroup(n.Host))
	}
	if _, err := l.engine(ctx, n.Host, append(create, imageName, "kolla_start")...); err != nil {
		return err
	}
	if err := moveDatadir(filepath.Join(l.HostDir(n.Host), "var-lib-mysql/data"), l.volume(n.Host, "mariadb")); err != nil {
		return fmt.Errorf("move datadir into its volume: %w", err)
	}
	return l.replaceControl(n.Host)
}

// moveDatadir moves all files from one directory to another and gives them to Kolla's mysql.
func moveDatadir(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, kollaMySQL, kollaMySQL)
	})
}

// replaceControl makes the node's control scripts act on the container, lets mysql in it read galera.cnf by its group,
// and removes the configuration under which the datadir was filled.
func (l *Lab) replaceControl(host string) error {
	for script, file := range map[string]string{startScript: "container-start", stopScript: "container-stop"} {
		text, err := containerFiles.ReadFile("files/" + file)
		if err != nil {
			return err
		}
		if err := l.put(filepath.Join("hosts", host, script), 0o755, l.forEngine(string(text))); err != nil {
			return err
		}
	}
	galera := l.path("hosts", host, "etc/kolla/mariadb/galera.cnf")
	if err := setDatadir(galera); err != nil {
		return err
	}
	for _, give := range []string{filepath.Dir(galera), galera} {
		if err := os.Chown(give, 0, kollaMySQL); err != nil {
			return fmt.Errorf("give configuration to mysql: %w", err)
		}
	}
	return os.Remove(l.path("hosts", host, "etc/mysql/my.cnf"))
}

// setDatadir makes galera.cnf name the volume itself, which is Kolla's datadir; on a bare host it is a directory below.
func setDatadir(galera string) error {
	const bare, contained = "datadir = /var/lib/mysql/data\n", "datadir = /var/lib/mysql/\n"
	text, err := os.ReadFile(galera)
	if err != nil {
		return fmt.Errorf("read galera.cnf: %w", err)
	}
	if !strings.Contains(string(text), bare) {
		return fmt.Errorf("%s does not name the datadir", galera)
	}
	if err := os.WriteFile(galera, []byte(strings.Replace(string(text), bare, contained, 1)), 0o660); err != nil {
		return fmt.Errorf("write galera.cnf: %w", err)
	}
	return nil
}

// volume is where the content of a volume of a host lies on this machine.
func (l *Lab) volume(host, name string) string {
	return filepath.Join(l.HostDir(host), l.volumes(), name, "_data")
}

// Datadir is where the datadir of the node on host name lies on this machine.
func (l *Lab) Datadir(name string) string {
	if l.Options.Containers {
		return l.volume(name, "mariadb")
	}
	return filepath.Join(l.HostDir(name), "var-lib-mysql/data")
}

// logFile is where mariadbd on host name writes its log: into a volume, once it runs in a container.
func (l *Lab) logFile(name string) string {
	contained := filepath.Join(l.volume(name, "kolla_logs"), "mariadb/mariadb.log")
	if _, err := os.Stat(contained); err == nil {
		return contained
	}
	return filepath.Join(l.HostDir(name), "var-log-kolla/mariadb/mariadb.log")
}
