package mariadb

import (
	"fmt"
	"time"

	"holdfast/internal/stream/mbstream"
)

// metadata is what mariadb-backup wrote about its own copy.
type metadata struct {
	info   mbstream.Info
	points mbstream.Checkpoints
	galera mbstream.Galera // zero when the server is no Galera node
	binlog *mbstream.Binlog
}

// readMetadata parses the metadata of a stream and checks that it describes a full copy of the server f.
func readMetadata(sum mbstream.Summary, f facts) (m metadata, err error) {
	read := func(what string, parse func([]byte) error) {
		if err != nil {
			return
		}
		data, ok := sum.Metadata(what)
		if !ok {
			err = fmt.Errorf("the copy lacks mariadb-backup's %s", what)
			return
		}
		err = parse(data)
	}
	read("info", func(b []byte) (err error) { m.info, err = mbstream.ParseInfo(b, time.UTC); return })
	read("checkpoints", func(b []byte) (err error) { m.points, err = mbstream.ParseCheckpoints(b); return })
	if f.galera() {
		read("galera_info", func(b []byte) (err error) { m.galera, err = mbstream.ParseGaleraInfo(b); return })
	}
	if f.on("log_bin") {
		read("binlog_info", func(b []byte) error {
			binlog, err := mbstream.ParseBinlogInfo(b)
			m.binlog = &binlog
			return err
		})
	}
	if err != nil {
		return m, err
	}
	return m, m.check(f)
}

// check refuses a copy that is not a full one of the server it was taken from.
func (m metadata) check(f facts) error {
	switch {
	case m.points.BackupType != "full-backuped":
		return fmt.Errorf("the copy is %q, not a full backup", m.points.BackupType)
	case m.points.FromLSN != 0 || m.points.ToLSN == 0 || m.points.LastLSN < m.points.ToLSN:
		return fmt.Errorf("the copy's log sequence numbers make no sense: from %d, to %d, last %d",
			m.points.FromLSN, m.points.ToLSN, m.points.LastLSN)
	case m.info.Partial || m.info.Incremental || m.info.Compressed:
		return fmt.Errorf("the copy is not a plain full backup; an option file on the node adds options to mariadb-backup")
	case f.galera() && m.galera.UUID != f.get("wsrep_cluster_state_uuid"):
		return fmt.Errorf("the copy is of cluster %s, but the node was in cluster %s", m.galera.UUID, f.get("wsrep_cluster_state_uuid"))
	case m.points.ToLSN != m.info.ToLSN:
		return fmt.Errorf("the copy's checkpoint is %d in one file and %d in another", m.points.ToLSN, m.info.ToLSN)
	}
	return nil
}

// describe adds to id what the copy holds.
func (m metadata) describe(id map[string]any) {
	id["backup_uuid"] = m.info.UUID
	id["to_lsn"], id["last_lsn"] = m.points.ToLSN, m.points.LastLSN
	if m.galera.UUID != "" {
		id["cluster_uuid"], id["seqno"] = m.galera.UUID, m.galera.Seqno
	}
	if m.binlog != nil {
		id["gtid"], id["binlog"] = m.binlog.GTID, *m.binlog
	}
}
