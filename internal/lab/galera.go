package lab

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// shardSteps brings one Galera cluster up: the first datadir is filled by a server outside any cluster, copied to the
// other nodes while that server is stopped, and then all nodes start from equal data, so that none needs a state
// transfer.
func (l *Lab) shardSteps(s *Shard) []step {
	name := func(what string) string { return fmt.Sprintf("shard %d: %s", s.ID, what) }
	first := s.Nodes[0]
	return []step{
		{name("empty datadir"), func(ctx context.Context) error { return l.install(ctx, first) }},
		{name("schemas, rows, accounts"), func(ctx context.Context) error { return l.fill(ctx, *s) }},
		{name("datadir copied to the others"), func(ctx context.Context) error { return l.clone(ctx, *s) }},
		{name(fmt.Sprintf("%d nodes synced", len(s.Nodes))), func(ctx context.Context) error { return l.startShard(ctx, *s) }},
	}
}

// install makes an empty datadir whose root has no password yet.
func (l *Lab) install(ctx context.Context, n Node) error {
	_, err := l.Run(ctx, n.Host, "mariadb-install-db", "--no-defaults", "--datadir=/var/lib/mysql", "--user=mysql",
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	return err
}

// fill loads the shard's first datadir through a server that only its own host can reach, already a cluster of one so
// that its storage engine records a position in the cluster's history. It trades durability for speed: if it dies, it
// is thrown away with the lab.
func (l *Lab) fill(ctx context.Context, s Shard) error {
	n := s.Nodes[0]
	if err := l.launch(ctx, n, "--wsrep-new-cluster", "--skip-networking", "--max-allowed-packet=64M",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-log-file-size="+l.loadRedo(),
		"--innodb-buffer-pool-size="+strconv.Itoa(256+l.Options.BulkMiB/2)+"M"); err != nil {
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

// clone copies the first node's datadir, whose server is stopped, to the shard's other nodes.
func (l *Lab) clone(ctx context.Context, s Shard) error {
	for _, n := range s.Nodes[1:] {
		if err := l.copyDatadir(ctx, s.Nodes[0], n); err != nil {
			return fmt.Errorf("copy datadir to %s: %w", n.Host, err)
		}
	}
	return nil
}

// copyDatadir copies everything but what makes from the node that starts the cluster.
func (l *Lab) copyDatadir(ctx context.Context, from, to Node) error {
	src := filepath.Join(l.HostDir(from.Host), "var-lib-mysql") + "/."
	if _, err := l.Run(ctx, to.Host, "cp", "-a", "--sparse=always", "--reflink=auto", src, "/var/lib/mysql/"); err != nil {
		return err
	}
	if _, err := l.Run(ctx, to.Host, "rm", "-f", "/var/lib/mysql/galera.cache", "/var/lib/mysql/gvwstate.dat"); err != nil {
		return err
	}
	_, err := l.Run(ctx, to.Host, "sed", "-i", "s/^safe_to_bootstrap:.*/safe_to_bootstrap: 0/", "/var/lib/mysql/grastate.dat")
	return err
}

// startShard bootstraps the first node and lets the others join it.
func (l *Lab) startShard(ctx context.Context, s Shard) error {
	if err := l.Bootstrap(ctx, s.Nodes[0].Host); err != nil {
		return err
	}
	for _, n := range s.Nodes[1:] {
		if err := l.launchScript(ctx, n, startScript); err != nil {
			return err
		}
	}
	for _, n := range s.Nodes[1:] {
		if err := l.AwaitSynced(ctx, n.Host); err != nil {
			return err
		}
	}
	return nil
}

// nodePatience bounds how long a node may take to answer; a full state transfer of a small lab is well below it.
const nodePatience = 3 * time.Minute
