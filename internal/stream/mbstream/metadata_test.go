package mbstream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/mbstream"
)

const infoText = `uuid = d57b729c-e658-11f1-b35a-02fc00000001
name = 
tool_name = mariadb-backup
tool_command = --backup --stream=mbstream --password=...
tool_version = 10.11.19-MariaDB
ibbackup_version = 10.11.19-MariaDB
server_version = 10.11.19-MariaDB-0+deb12u1-log
start_time = 2026-11-22 09:41:03
end_time = 2026-11-22 09:41:05
lock_time = 1
binlog_pos = filename 'mysql-bin.000001', position '807', GTID of the last change '0-1-3,1-1-9'
innodb_from_lsn = 0
innodb_to_lsn = 44910
partial = N
incremental = Y
format = mbstream
compressed = N
`

func TestParseInfo(t *testing.T) {
	got, err := mbstream.ParseInfo([]byte(infoText), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	want := mbstream.Info{
		UUID: "d57b729c-e658-11f1-b35a-02fc00000001", ToolName: "mariadb-backup", ToolVersion: "10.11.19-MariaDB",
		ServerVersion: "10.11.19-MariaDB-0+deb12u1-log",
		Start:         time.Date(2026, 11, 22, 9, 41, 3, 0, time.UTC), End: time.Date(2026, 11, 22, 9, 41, 5, 0, time.UTC),
		LockSeconds: 1, Binlog: &mbstream.Binlog{File: "mysql-bin.000001", Pos: 807, GTID: "0-1-3,1-1-9"},
		ToLSN: 44910, Incremental: true, Format: "mbstream",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "garbage", "innodb_to_lsn = x\n", "innodb_to_lsn = 5\nserver_version = 10\nstart_time = never\n"} {
		if _, err := mbstream.ParseInfo([]byte(bad), time.UTC); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}

func TestParseCheckpoints(t *testing.T) {
	got, err := mbstream.ParseCheckpoints([]byte("backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44910\nlast_lsn = 221388\nrecover_binlog_info = 0\n"))
	if want := (mbstream.Checkpoints{BackupType: "full-backuped", ToLSN: 44910, LastLSN: 221388}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "backup_type = x\nfrom_lsn = -1\nto_lsn = 1\nlast_lsn = 1", "from_lsn = 0\nto_lsn = 1\nlast_lsn = 1"} {
		if got, err := mbstream.ParseCheckpoints([]byte(bad)); err == nil {
			t.Errorf("parsed %q to %+v", bad, got)
		}
	}
}

func TestParseGaleraInfo(t *testing.T) {
	const uuid = "d57b729c-e658-11f1-b35a-02fc00000001"
	for text, want := range map[string]mbstream.Galera{
		uuid + ":42 1\n": {UUID: uuid, Seqno: 42, Domain: "1"},
		uuid + ":42":     {UUID: uuid, Seqno: 42},
		uuid + ":-1\n":   {UUID: uuid, Seqno: -1},
	} {
		if got, err := mbstream.ParseGaleraInfo([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "x", ":5", uuid + ":", uuid + ":1 2 3"} {
		if got, err := mbstream.ParseGaleraInfo([]byte(bad)); err == nil {
			t.Errorf("parsed %q to %+v", bad, got)
		}
	}
}

func TestParseBinlogInfo(t *testing.T) {
	for text, want := range map[string]mbstream.Binlog{
		"mysql-bin.000028\t385\t1-1-3214\n": {File: "mysql-bin.000028", Pos: 385, GTID: "1-1-3214"},
		"mysql-bin.000028\t385\t\n":         {File: "mysql-bin.000028", Pos: 385},
		"mysql-bin.000028\t385":             {File: "mysql-bin.000028", Pos: 385},
	} {
		if got, err := mbstream.ParseBinlogInfo([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "x", "\t5", "f\tmany", "f\t1\t2\t3"} {
		if got, err := mbstream.ParseBinlogInfo([]byte(bad)); err == nil {
			t.Errorf("parsed %q to %+v", bad, got)
		}
	}
}
