package mariadb

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/mbstream"
)

// capturePhysical streams mariadb-backup's copy of the datadir into the sink.
func (s *Source) capturePhysical(ctx context.Context, sess *session, sink source.Sink) (source.Outcome, error) {
	f, err := sess.ready(ctx, toolBackup)
	if err != nil {
		return source.Outcome{}, err
	}
	place, err := sess.place(ctx, f.get("datadir"))
	if err != nil {
		return source.Outcome{}, explain(err, "look at", sess.node.Name)
	}
	release, err := s.desync(ctx, sess, f, sink)
	if err != nil {
		return source.Outcome{}, err
	}
	b := &physical{session: sess, facts: f, place: place, sink: sink, now: s.opt.Now}
	if e := sess.node.Engine; e != nil {
		if b.image, err = e.Image(ctx); err != nil {
			sink.Note("which image the server runs from is not known: " + err.Error())
		}
	}
	sum, err := b.run(ctx)
	if bad := release(); err == nil && bad != nil {
		sink.Note(bad.Error())
	}
	if err == nil {
		var out source.Outcome
		if out, err = b.prove(sum); err == nil {
			return out, nil
		}
	}
	return source.Outcome{}, explain(err, "back up", sess.node.Name)
}

// physical is one run of mariadb-backup.
type physical struct {
	*session
	facts facts
	place place
	image Image // zero when the server is no container
	sink  source.Sink
	now   clock
	log   stderrLog
	lock  lockTimes
	peak  int
	files *census
}

func (b *physical) args() []string {
	args := []string{"--backup", "--stream=mbstream", "--parallel=" + strconv.Itoa(b.place.threads())}
	if b.facts.galera() {
		args = append(args, "--galera-info")
	}
	return args
}

// run starts mariadb-backup and extracts its stream. It returns only when the command has ended.
func (b *physical) run(ctx context.Context) (mbstream.Summary, error) {
	locked := make(chan struct{})
	cmd := b.command(b.tools.backup, b.args()...)
	cmd.Bulk = true
	cmd.OnStderr = func(line string) {
		b.log.add(line)
		if b.lock.note(line, b.now()) {
			close(locked)
		}
	}
	p, err := b.node.Host.Start(ctx, cmd)
	if err != nil {
		return mbstream.Summary{}, err
	}
	sp := newSpool(p.Stdout(), smallSpool, largeSpool)
	go sp.widenOn(locked)
	b.files = newCensus(b.sink.Tree)
	sum, err := mbstream.Extract(ctx, sp, b.files, mbstream.Options{
		UID: b.place.uid, GID: b.place.gid, ModTime: b.now(), Read: b.sink.Read,
	})
	b.peak = sp.peak()
	return sum, b.settle(p, sp, err)
}

// settle ends a run whose extraction ended with err, and decides which error tells why. A stream that came to its end
// is judged by its command first: one that failed leaves a cut stream. A stream that was given up midway is not read
// any more, and the command is killed so that it does not wait for that.
func (b *physical) settle(p *host.Process, sp *spool, err error) error {
	if err != nil && !sp.ended() {
		p.Kill()
		sp.Close()
		_ = p.Wait() // it was killed, whatever it says
		return err
	}
	sp.Close()
	if bad := p.Wait(); bad != nil {
		return said{bad, b.log.meaningful()}
	}
	return err
}

// prove judges a run whose command ended with 0 and whose stream was well-formed to its end.
func (b *physical) prove(sum mbstream.Summary) (source.Outcome, error) {
	if last := b.log.last(); !strings.HasSuffix(last, "completed OK!") {
		return source.Outcome{}, fmt.Errorf("mariadb-backup ended without saying that it completed; its last words: %s", or(last, "none"))
	}
	if err := sum.Complete(); err != nil {
		return source.Outcome{}, err
	}
	m, err := readMetadata(sum, b.facts)
	if err != nil {
		return source.Outcome{}, err
	}
	out := source.Outcome{State: point.Good, Identity: b.facts.identity(b.node), At: b.lock.moment(b.now())}
	m.describe(out.Identity)
	out.Identity["backup_tool"] = m.info.ToolName + " " + m.info.ToolVersion
	out.Identity["uid"], out.Identity["gid"] = b.place.uid, b.place.gid
	if b.image.ID != "" {
		out.Identity["image_id"], out.Identity["image"], out.Identity["image_component"] = b.image.ID, b.image.Name, b.image.Component()
	}
	out.Proof = map[string]any{
		"exit": 0, "completed_ok": true, "stream_complete": true, "last_file": sum.LastFile,
		"files": sum.Files, "payload_bytes": sum.Payload,
		"renames": sum.Renames, "removes": sum.Removes, "rewrites": sum.Rewrites,
		"backup_type": m.points.BackupType, "to_lsn": m.points.ToLSN, "last_lsn": m.points.LastLSN,
		"buffer_peak_bytes": b.peak, "lock_seconds": b.lock.seconds(),
		"ended_by_node_clock": m.info.End.UTC().Format(time.RFC3339),
	}
	if lost := b.files.bereft(); len(lost) > 0 {
		out.State = point.ComponentPartial
		out.Reason = "mariadb-backup left out the data of tables that were made, renamed or altered while it ran, and are not InnoDB: " +
			strings.Join(lost, ", ") + "; take the backup again when no schema change runs"
	}
	return out, nil
}
