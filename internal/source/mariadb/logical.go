package mariadb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/sqldump"
)

// captureLogical streams one consistent dump into the sink, split into a file per table, with the accounts as a file of
// their own.
func (s *Source) captureLogical(ctx context.Context, sess *session, sink source.Sink) (source.Outcome, error) {
	before, err := sess.ready(ctx, toolDump)
	if err != nil {
		return source.Outcome{}, err
	}
	d := &logical{session: sess, before: before, sink: sink, now: s.opt.Now}
	out, err := d.run(ctx)
	if err != nil {
		return source.Outcome{}, explain(err, "dump", sess.node.Name)
	}
	return out, nil
}

// logical is one run of mariadb-dump.
type logical struct {
	*session
	before facts
	sink   source.Sink
	now    clock
}

// everything has a dump hold all there is.
var everything = []string{"--all-databases", "--routines", "--triggers", "--events"}

// dumpArgs make a dump of everything, at one moment, without locking anyone. Binary columns are not written in hex: the
// quoting of the client is as safe, and the dump a fifth smaller.
func dumpArgs(f facts) []string {
	args := slices.Concat(everything, rowArgs)
	if f.on("log_bin") {
		args = append(args, "--master-data=2", "--gtid")
	}
	return args
}

func (d *logical) run(ctx context.Context) (source.Outcome, error) {
	if err := d.plain(ctx); err != nil {
		return source.Outcome{}, err
	}
	at := d.now()
	var accounts []byte
	var noAccounts error
	var wg sync.WaitGroup
	wg.Go(func() { accounts, noAccounts = d.accounts(ctx) })
	sum, err := d.dump(ctx, at)
	wg.Wait()
	if err != nil {
		return source.Outcome{}, err
	}
	after, err := look(ctx, d.session, false)
	if err != nil {
		return source.Outcome{}, err
	}
	if a, b := d.before.get("wsrep_cluster_state_uuid"), after.get("wsrep_cluster_state_uuid"); a != b {
		return source.Outcome{}, fmt.Errorf("the node changed from cluster %s to %s during the dump", a, b)
	}
	out := source.Outcome{State: point.Good, Identity: d.before.identity(d.node), At: at}
	d.describe(out.Identity, after, sum)
	out.Proof = map[string]any{
		"exit": 0, "completed": true, "bytes": sum.Bytes, "rows": sum.Rows, "tables": len(sum.Tables),
		"databases": sum.Databases, "tables_file": sqldump.OrderPath,
	}
	if noAccounts == nil {
		noAccounts = d.storeAccounts(accounts, at)
	}
	if err := notOfTheTool(noAccounts); err != nil {
		return out, err
	}
	if noAccounts != nil {
		out.Notes = append(out.Notes, "accounts are not saved as SQL, only as the tables of the database mysql: "+noAccounts.Error())
	}
	if len(sum.Warnings) > 0 {
		out.State, out.Reason = point.ComponentPartial, "mariadb-dump left something out: "+strings.Join(sum.Warnings, "; ")
	}
	return out, nil
}

// leaveOut are the options that have a dump leave out what it should hold.
var leaveOut = []string{"ignore-table", "ignore-table-data", "ignore-database", "where", "no-data", "no-create-info"}

// plain makes sure that no option file on the node has the dump leave anything out: the tool would end well all the same.
func (d *logical) plain(ctx context.Context) error {
	out, err := host.Output(ctx, d.node.Host, host.Cmd{Args: []string{d.tools.dump, "--print-defaults"}, Env: []string{"HOME=/nonexistent"}})
	if err != nil {
		return fmt.Errorf("ask %s for the options of the node's files: %w", d.tools.dump, err)
	}
	for _, word := range strings.Fields(string(out)) {
		name, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimPrefix(word, "--"), "_", "-"), "=")
		if strings.HasPrefix(word, "--") && slices.Contains(leaveOut, name) {
			return fmt.Errorf("an option file on the node has %s leave something out, by --%s", d.tools.dump, name)
		}
	}
	return nil
}

// describe adds to id what the dump holds. The write set of its moment lies between those seen around it.
func (d *logical) describe(id map[string]any, after facts, sum sqldump.Summary) {
	if sum.BinlogFile != "" {
		id["gtid"] = sum.GTID
		id["binlog"] = map[string]any{"file": sum.BinlogFile, "pos": sum.BinlogPos}
	}
	if d.before.galera() {
		id["seqno"], id["seqno_after"] = d.before.number("wsrep_last_committed"), after.number("wsrep_last_committed")
	}
}

// dump runs mariadb-dump and splits what it writes.
func (d *logical) dump(ctx context.Context, at time.Time) (sqldump.Summary, error) {
	var log stderrLog
	var sum sqldump.Summary
	cmd := buffered(d.command(d.tools.dump, dumpArgs(d.before)...))
	cmd.Bulk = true
	cmd.OnStderr = log.add
	err := host.Stream(ctx, d.node.Host, cmd, func(r io.Reader) (err error) {
		sum, err = sqldump.Split(ctx, r, d.sink.Tree, sqldump.Options{ModTime: at, Read: d.sink.Read})
		return err
	})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return sum, said{exit, log.meaningful()}
	}
	return sum, err
}

// buffered makes a command write to its stdout in larger pieces, where the host has what that takes: by itself it writes
// 4 KiB at a time into a pipe and wakes the reader, or sshd, for each. Pieces that outgrow the processor's cache are
// slower again.
func buffered(cmd host.Cmd) host.Cmd {
	const script = `if command -v stdbuf >/dev/null; then exec stdbuf -o 32K "$@"; fi; exec "$@"`
	cmd.Name = path.Base(cmd.Args[0])
	cmd.Args = append([]string{"sh", "-c", script, cmd.Name}, cmd.Args...)
	return cmd
}

// accounts returns users, roles and grants as SQL.
func (d *logical) accounts(ctx context.Context) ([]byte, error) {
	sql, err := host.Output(ctx, d.node.Host, d.command(d.tools.dump, "--system=users", "--default-character-set=utf8mb4"))
	if err != nil {
		return nil, err
	}
	last := sql[bytes.LastIndexByte(bytes.TrimSpace(sql), '\n')+1:]
	if !bytes.HasPrefix(last, []byte("-- Dump completed")) {
		return nil, errors.New("dump the accounts: the dump is cut")
	}
	return sql, nil
}

func (d *logical) storeAccounts(sql []byte, at time.Time) error {
	return store(d.sink, sqldump.GrantsPath, func() time.Time { return at }, func(w io.Writer) error {
		_, err := w.Write(sql)
		return err
	})
}

// notOfTheTool returns err unless it is a command that ran and failed.
func notOfTheTool(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}
