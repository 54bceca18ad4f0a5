package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// shardSteps brings one Galera cluster up: the first datadir is filled by a server outside any cluster, copied to the
// other nodes while that server is stopped, and then all nodes start from equal data, so that none needs a state
// transfer.
func (l *Lab) shardSteps(s Shard) []step {
	name := func(what string) string { return fmt.Sprintf("shard %d: %s", s.ID, what) }
	first := s.Nodes[0]
	steps := []step{
		{name("empty datadir"), func(ctx context.Context) error { return l.install(ctx, first) }},
		{name("schemas, rows, accounts"), func(ctx context.Context) error { return l.fill(ctx, s) }},
	}
	if len(s.Nodes) > 1 {
		steps = append(steps, step{name("datadir copied"), func(ctx context.Context) error { return l.clone(ctx, s) }})
	}
	if l.Options.Containers {
		steps = append(steps, step{name("into containers"), func(ctx context.Context) error { return l.containShard(ctx, s) }})
	}
	return append(steps, step{name(fmt.Sprintf("synced, nodes: %d", len(s.Nodes))), func(ctx context.Context) error { return l.startShard(ctx, s) }})
}

// noSync makes mariadbd leave it to the kernel when to write. Only for the time before the first copy is made: what is
// lost if the machine dies then is a lab.
var noSync = []string{"--innodb-flush-method=nosync", "--debug-no-sync"}

// install makes an empty datadir whose root has no password yet.
func (l *Lab) install(ctx context.Context, n Node) error {
	_, err := l.Run(ctx, n.Host, "mariadb-install-db", "--no-defaults", "--datadir=/var/lib/mysql/data", "--tmpdir=/run/mysqld/tmp", "--user=mysql",
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", noSync[0], noSync[1])
	return err
}

// fill loads the shard's first datadir through a server that only its own host can reach, already a cluster of one so
// that its storage engine records a position in the cluster's history.
func (l *Lab) fill(ctx context.Context, s Shard) error {
	n := s.Nodes[0]
	args := append([]string{"--wsrep-new-cluster", "--skip-networking", "--max-allowed-packet=64M",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-log-file-size=" + l.loadRedo(),
		"--innodb-buffer-pool-size=" + strconv.Itoa(256+l.Options.BulkMiB/2) + "M"}, noSync...)
	if err := l.launchScript(ctx, n, startScript, args...); err != nil {
		return err
	}
	if err := l.awaitSocket(ctx, n); err != nil {
		return err
	}
	run := func(ctx context.Context, sql io.Reader) error { return l.local(ctx, n, sql) }
	if err := l.loadData(ctx, s, run); err != nil {
		return err
	}
	if err := run(ctx, strings.NewReader(l.accounts())); err != nil {
		return fmt.Errorf("create accounts: %w", err)
	}
	return l.Stop(ctx, n.Host)
}

func (l *Lab) loadRedo() string {
	if l.Options.BulkMiB > 0 {
		return "1G"
	}
	return "96M"
}

// local runs sql on n's host over the socket as root without a password, which works only until accounts exist.
// What it changes is neither replicated nor logged.
func (l *Lab) local(ctx context.Context, n Node, sql io.Reader) error {
	cmd, err := l.Command(ctx, n.Host, "mariadb", "--no-defaults", "--socket=/run/mysqld/mysqld.sock",
		"--user=root", "--init-command=SET wsrep_on=OFF, sql_log_bin=0", "--default-character-set=utf8mb4", "--max-allowed-packet=64M")
	if err != nil {
		return err
	}
	cmd.Stdin = sql
	_, err = output(cmd)
	return err
}

func (l *Lab) awaitSocket(ctx context.Context, n Node) error {
	return l.await(ctx, n, "answers", func(ctx context.Context) bool {
		return l.local(ctx, n, strings.NewReader("SELECT 1")) == nil
	})
}

// clone copies the first node's datadir, whose server is stopped, to the shard's other nodes. All then get the saved
// view of a cluster that lost its power with all of them in it: nodes that find each other with such a view and at the
// same position go on as that cluster, and none needs a state transfer.
func (l *Lab) clone(ctx context.Context, s Shard) error {
	first := filepath.Join(l.HostDir(s.Nodes[0].Host), "var-lib-mysql/data")
	for _, derived := range []string{"galera.cache", "gvwstate.dat"} {
		if err := os.RemoveAll(filepath.Join(first, derived)); err != nil {
			return fmt.Errorf("clear datadir: %w", err)
		}
	}
	for _, n := range s.Nodes[1:] {
		if _, err := l.Run(ctx, n.Host, "cp", "-a", "--sparse=always", first+"/.", "/var/lib/mysql/data/"); err != nil {
			return fmt.Errorf("copy datadir to %s: %w", n.Host, err)
		}
	}
	return l.writeViews(s)
}

// writeViews saves in every datadir the view that names all nodes.
func (l *Lab) writeViews(s Shard) error {
	uid, gid, err := mysqlUser()
	if err != nil {
		return err
	}
	var members strings.Builder
	ids := make([]string, len(s.Nodes))
	for i := range s.Nodes {
		ids[i] = memberID()
		fmt.Fprintf(&members, "member: %s 0\n", ids[i])
	}
	for i, n := range s.Nodes {
		view := fmt.Sprintf("my_uuid: %s\n#vwbeg\nview_id: 3 %s 1\nbootstrap: 0\n%s#vwend\n", ids[i], ids[0], members.String())
		name := filepath.Join("hosts", n.Host, "var-lib-mysql/data/gvwstate.dat")
		if err := l.put(name, 0o660, view); err != nil {
			return err
		}
		if err := os.Chown(l.path(name), uid, gid); err != nil {
			return fmt.Errorf("write saved view: %w", err)
		}
	}
	return nil
}

// memberID returns a random UUID.
func memberID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return uuidOf(b)
}

// uuidOf makes a UUID of 16 bytes.
func uuidOf(b []byte) string {
	b[6], b[8] = b[6]&0x0f|0x10, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// startShard starts all nodes at once; one alone has no saved view and must be told to be a cluster.
func (l *Lab) startShard(ctx context.Context, s Shard) error {
	if len(s.Nodes) == 1 {
		return l.Bootstrap(ctx, s.Nodes[0].Host)
	}
	for _, n := range s.Nodes {
		if err := l.launchScript(ctx, n, startScript); err != nil {
			return err
		}
	}
	for _, n := range s.Nodes {
		if err := l.AwaitSynced(ctx, n.Host); err != nil {
			return err
		}
	}
	return nil
}

// nodePatience bounds how long a node may take to answer; a full state transfer of a small lab is well below it.
const nodePatience = 3 * time.Minute
