package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A peer is a command line of today's tools. Its login comes over stdin and lies in an unnamed file in memory on
// descriptor 3, so that no argument list holds a password.
const loginOnFD3 = `f=$(mktemp -p /dev/shm); exec 3<>"$f"; rm "$f"; cat >&3; exec 0</dev/null
`

// Command lines of the peers; $port is the server's.
const (
	backupTool = `mariadb-backup --defaults-extra-file=/dev/fd/3 --backup --host=127.0.0.1 --port="$port"`
	dumpTool   = `mariadb-dump --defaults-extra-file=/dev/fd/3 --host=127.0.0.1 --port="$port" --all-databases --single-transaction ` +
		`--quick --routines --triggers --events --master-data=2 --gtid`
)

// peerScript makes a whole script of a command line; what it writes to stderr goes to log.
func (b *bench) peerScript(node, commands string) string {
	n, err := b.lab.Node(node)
	if err != nil {
		panic(err) // the bench names its own nodes
	}
	return "set -eu; port=" + strconv.Itoa(n.SQLPort) + "\n" + loginOnFD3 + commands
}

func (b *bench) login() *strings.Reader {
	return strings.NewReader("[client]\nuser=backup\npassword=" + b.lab.Kolla.Passwords["mariadb_backup_database_password"] + "\n")
}

// local runs a peer on a node's host, without any transport, and returns its seconds.
func (b *bench) local(node, commands string) (float64, error) {
	cmd, err := b.lab.Command(b.ctx, node, "bash", "-c", "set -o pipefail; "+b.peerScript(node, commands))
	if err != nil {
		return 0, err
	}
	cmd.Stdin = b.login()
	return b.timed(cmd)
}

// remote runs commands on a node's host over ssh and pipes what they write into sink here.
func (b *bench) remote(node, enter, commands, sink string) (float64, error) {
	h, err := b.lab.Host(node)
	if err != nil {
		return 0, err
	}
	ssh := []string{
		"ssh", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + b.lab.KnownHosts, "-i", b.lab.KeyFile,
		"-p", strconv.Itoa(h.Port), h.User + "@127.0.0.1", strings.TrimSpace(enter + " sh -c " + quote(b.peerScript(node, commands))),
	}
	cmd := exec.CommandContext(b.ctx, "bash", append([]string{"-c", `set -euo pipefail; "$@" | ` + sink, "peer"}, ssh...)...)
	cmd.Stdin = b.login()
	return b.timed(cmd)
}

// quote makes text one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// scratch is a file or directory of a peer, absent before and removed by the returned function.
func (b *bench) scratch(name string) (string, func()) {
	path := filepath.Join(b.dir, name)
	os.RemoveAll(path)
	return path, func() { os.RemoveAll(path) }
}
