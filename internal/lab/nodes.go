package lab

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"holdfast/internal/secret"
)

//go:embed files/mariadb-start files/mariadb-bootstrap files/mariadb-stop files/my.cnf.tmpl
var nodeFiles embed.FS

// Scripts on every node's host that stop, start and bootstrap its mariadbd.
const (
	stopScript      = "/etc/kolla/lab/mariadb-stop"
	startScript     = "/etc/kolla/lab/mariadb-start"
	bootstrapScript = "/etc/kolla/lab/mariadb-bootstrap"
)

// writeNodes writes every node's my.cnf and control scripts and gives mysql its directories.
func (l *Lab) writeNodes(context.Context) error {
	for _, n := range l.Nodes() {
		if err := l.writeNode(n); err != nil {
			return fmt.Errorf("write node %s: %w", n.Host, err)
		}
	}
	return nil
}

func (l *Lab) writeNode(n Node) error {
	for _, script := range []string{stopScript, startScript, bootstrapScript} {
		text, err := nodeFiles.ReadFile("files/" + filepath.Base(script))
		if err != nil {
			return err
		}
		if err := l.put(filepath.Join("hosts", n.Host, script), 0o755, string(text)); err != nil {
			return err
		}
	}
	conf, err := l.myCnf(n)
	if err != nil {
		return err
	}
	name := filepath.Join("hosts", n.Host, "etc/mysql/my.cnf")
	if err := l.put(name, 0o640, conf); err != nil {
		return err
	}
	uid, gid, err := mysqlUser()
	if err != nil {
		return err
	}
	for _, d := range []string{"var-lib-mysql", "var-lib-mysql/data", "var-log-kolla/mariadb", "run-mysqld", "run-mysqld/tmp"} {
		if err := os.Chown(filepath.Join(l.HostDir(n.Host), d), uid, gid); err != nil {
			return err
		}
	}
	return os.Chown(l.path(name), 0, gid)
}

// myCnf is the configuration of n. It holds a password only when the SST method needs one.
func (l *Lab) myCnf(n Node) (string, error) {
	text, err := nodeFiles.ReadFile("files/my.cnf.tmpl")
	if err != nil {
		return "", err
	}
	var peers []string
	for _, p := range l.shard(n.Shard).Nodes {
		peers = append(peers, "127.0.0.1:"+strconv.Itoa(p.GaleraPort))
	}
	auth := ""
	if l.Options.SST == "mariabackup" {
		auth = "root:" + l.rootPassword.Reveal()
	}
	return render(string(text), map[string]any{
		"Node": n, "Peers": strings.Join(peers, ","), "IST": n.GaleraPort + 1, "SSTPort": n.GaleraPort + 2,
		"SST": l.Options.SST, "SSTAuth": auth, "PoolMiB": l.poolMiB(),
		"OwnDomain": 100 + n.GaleraPort - l.PortBase,
	})
}

// poolMiB is the size of a node's buffer pool. It holds the bulk, as the 8 GiB that Kolla gives a node hold the databases
// of a cloud.
func (l *Lab) poolMiB() int { return 64 + l.Options.BulkMiB*3/2 }

// mysqlUser returns the ids that mariadbd runs as.
func mysqlUser() (uid, gid int, err error) {
	u, err := user.Lookup("mysql")
	if err != nil {
		return 0, 0, fmt.Errorf("find mariadbd's user: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("find mariadbd's user: %w", err)
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// RootPassword is that of the database's root account.
func (l *Lab) RootPassword() secret.Secret { return l.rootPassword }
