package kolla

import (
	"context"
	"fmt"
	"io"
	"path"

	"holdfast/internal/host"
	"holdfast/internal/stream"
)

// exportDir is where the tree of a host keeps what came out of a running server rather than out of a file.
const exportDir = ".holdfast"

// export is state inside a container that only its server can give whole. The command writes it to stdout and runs in
// the container, which Kolla has given the tools. A container that does not run on a host is no loss.
type export struct {
	container string
	file      string // name below exportDir
	command   []string
	// whole reads the export to its end and tells whether it is complete, which an exit status alone does not prove.
	whole func(io.Reader) error
}

// exports is the table of them; the next one is one line. Raw raft files are never copied, nor RabbitMQ's messages.
var exports = []export{
	{"ovn_nb_db", "ovn-nb.db", []string{"ovsdb-client", "backup", "unix:/run/ovn/ovnnb_db.sock"}, ovsdbWhole},
	{"ovn_sb_db", "ovn-sb.db", []string{"ovsdb-client", "backup", "unix:/run/ovn/ovnsb_db.sock"}, ovsdbWhole},
	{"etcd", "etcd.snapshot", shell(etcdSnapshot), etcdWhole},
	{"rabbitmq", "rabbitmq-definitions.json", []string{"rabbitmqctl", "--quiet", "export_definitions", "-"}, jsonWhole},
	{"bifrost_deploy", "bifrost-databases.sql", shell(bifrostDump), dumpWhole},
}

func shell(script string) []string { return []string{"sh", "-c", script} }

// etcdctl saves only to a file, into which it puts a hash of the rest at the end.
const etcdSnapshot = `d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 1' HUP INT TERM
export ETCDCTL_API=3 "ETCDCTL_ENDPOINTS=${ETCDCTL_ENDPOINTS:-${ETCD_ADVERTISE_CLIENT_URLS:-http://127.0.0.1:2379}}"
[ -z "${ETCD_TRUSTED_CA_FILE-}" ] || export "ETCDCTL_CACERT=${ETCDCTL_CACERT:-$ETCD_TRUSTED_CA_FILE}"
[ -z "${ETCD_CERT_FILE-}" ] || export "ETCDCTL_CERT=${ETCDCTL_CERT:-$ETCD_CERT_FILE}" "ETCDCTL_KEY=${ETCDCTL_KEY:-${ETCD_KEY_FILE-}}"
etcdctl snapshot save "$d/snapshot" >&2 && cat "$d/snapshot"`

// The seed has a MariaDB of its own, open to root over its socket.
const bifrostDump = `for dump in mariadb-dump mysqldump; do
	command -v "$dump" >/dev/null && exec "$dump" --all-databases --single-transaction --quick --routines --events
done
echo "neither mariadb-dump nor mysqldump" >&2
exit 127`

// exports captures the table's exports from the containers that run. One that fails makes the component partial: the
// rest is worth keeping.
func (c *capture) exports(ctx context.Context, f facts) error {
	if f.silent && !c.deploy { // Kolla needs no container on the deploy host
		c.missing = append(c.missing, fmt.Sprintf("what containers export: %v ps failed, so that nobody knows which run", f.values["container_engine"]))
	}
	for _, e := range exports {
		if !f.runs(e.container) {
			continue
		}
		if err := c.export(ctx, e); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.missing = append(c.missing, fmt.Sprintf("%s of container %s: %v", e.file, e.container, err))
		}
	}
	return nil
}

func (c *capture) export(ctx context.Context, e export) error {
	f, err := c.create(path.Join(exportDir, e.file))
	if err != nil {
		return err
	}
	inside := host.Container{On: c.host, Engine: c.source.o.Globals.Engine(), Name: e.container, Enter: host.EnterExec}
	err = host.Stream(ctx, inside, host.Cmd{Args: e.command}, func(r io.Reader) error {
		return e.whole(io.TeeReader(&counting{r, c.sink.Read}, f))
	})
	if err != nil {
		f.Abort()
		return err
	}
	return f.Close()
}

// create starts a file of our own in the tree.
func (c *capture) create(name string) (stream.File, error) {
	m := stream.Meta{Mode: 0o600, ModTime: c.now}
	f, err := c.sink.Tree.Create(name, m, stream.Plain)
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", name, err)
	}
	return f, nil
}
