package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// holdScript sets wsrep_desync on the node for as long as its stdin lasts. Its arguments are the client's command line.
//
// wsrep_desync outlives the session that set it, so whoever sets it must be sure to reset it. The part that does both
// is therefore a session of its own, which nobody kills with the rest: it sees the end of a pipe whose other end dies
// with Holdfast, with the connection, or with the supervisor, and resets it then. It leaves a mark while it works, by
// which a later one knows a state that a killed predecessor left. Exit 3: someone else has set it.
const holdScript = `
cat | setsid sh -c '
	sql() { "$@" 2>&1; }
	mark=/tmp/holdfast-desync
	refuse() { code=$1; shift; echo "$*" >&2; echo none; exit "$code"; }
	state=$(sql "$@" --execute="SELECT IF(@@GLOBAL.wsrep_desync, 1, 0)") || refuse 1 "$state"
	stale=
	for m in "$mark".*; do
		if [ -d "$m" ] && [ ! -d "/proc/${m##*.}" ]; then rmdir "$m" && stale=yes; fi
	done
	if [ "$state" = 1 ] && [ -z "$stale" ]; then refuse 3 "set already"; fi
	mkdir "$mark.$$"
	if ! said=$(sql "$@" --execute="SET GLOBAL wsrep_desync=ON"); then
		rmdir "$mark.$$"
		refuse 1 "$said"
	fi
	echo held
	cat >/dev/null
	tries=0
	until said=$(sql "$@" --execute="SET GLOBAL wsrep_desync=OFF"); do
		tries=$((tries + 1))
		if [ "$tries" -ge 60 ]; then echo "$said" >&2; exit 4; fi
		sleep 1
	done
	rmdir "$mark.$$"
' holdfast "$@"
`

// marksScript tells of the marks of holdScript: "live", "stale", or nothing.
const marksScript = `
for m in /tmp/holdfast-desync.*; do
	[ -d "$m" ] || continue
	if [ -d "/proc/${m##*.}" ]; then echo live; else echo stale; fi
	break
done`

// marks says whose desync it is: "live" or "stale" when it is Holdfast's, else "".
func marks(ctx context.Context, s *session) string {
	out, err := host.Output(ctx, s.node.Host, host.Cmd{Args: []string{"sh", "-c", marksScript}})
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// desyncTimeout is how long the node may take to be desynced or to be synced again.
const desyncTimeout = 90 * time.Second

// desync takes the node out of flow control, if configured, and returns what puts it back. Whatever happens to this
// process, the node is put back.
func (s *Source) desync(ctx context.Context, sess *session, f facts, sink source.Sink) (release func() error, err error) {
	nothing := func() error { return nil }
	if !s.opt.Desync || !f.galera() {
		return nothing, nil
	}
	if f.on("wsrep_desync") {
		sink.Note(sess.node.Name + ": wsrep_desync is set already, by someone else; it stays as it is")
		return nothing, nil
	}
	h, err := hold(ctx, sess)
	if err != nil {
		return nil, explain(err, "desync", sess.node.Name)
	}
	return func() error { return h.release() }, nil
}

// holder keeps a node desynced.
type holder struct {
	sess *session
	proc *host.Process
	feed *io.PipeWriter
	log  stderrLog
	stop context.CancelFunc
}

// hold starts the holder and waits until the node is desynced. The returned holder is never nil.
func hold(ctx context.Context, sess *session) (*holder, error) {
	h := &holder{sess: sess}
	// Not the caller's context: when that is cancelled, the holder must still be let go in order.
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	r, w := io.Pipe()
	h.feed = w
	cmd := sess.command(sess.tools.client, "--batch", "--skip-column-names", "--connect-timeout=10")
	cmd.Args = append([]string{"sh", "-c", holdScript, "holdfast"}, cmd.Args...)
	cmd.Stdin, cmd.OnStderr = r, h.log.add
	p, err := sess.node.Host.Start(ctx, cmd)
	if err != nil {
		h.stop()
		return h, err
	}
	h.proc = p
	late := time.AfterFunc(desyncTimeout, h.stop)
	defer late.Stop()
	answer := make([]byte, len("held\n"))
	if _, err := io.ReadFull(p.Stdout(), answer); err != nil || string(answer) != "held\n" {
		w.Close()
		return h, h.refused(p.Wait())
	}
	return h, nil
}

// refused explains why the node was not desynced.
func (h *holder) refused(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 3 {
		return problem.New(problem.Busy, "find out who set wsrep_desync, then: SET GLOBAL wsrep_desync=OFF",
			"wsrep_desync is set already")
	}
	if err == nil {
		return fmt.Errorf("the node did not say that it is desynced")
	}
	return said{err, h.log.meaningful()}
}

// release lets the node be synced again and verifies that it has been told so.
func (h *holder) release() error {
	late := time.AfterFunc(desyncTimeout, h.stop)
	defer late.Stop()
	h.feed.Close()
	err := h.proc.Wait()
	if err == nil {
		return nil
	}
	return problem.New(problem.Failed, "run on "+h.sess.node.Name+": SET GLOBAL wsrep_desync=OFF",
		"%s is still desynced: %s", h.sess.node.Name, or(h.log.meaningful(), err.Error()))
}
