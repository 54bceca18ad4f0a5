package mbstream

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// prefixes of the tool's own files: the new names first, then those that most installed versions still write.
var prefixes = []string{"mariadb_backup_", "xtrabackup_"}

// is tells whether name is the metadata file called what, by its old or its new name.
func is(name, what string) bool {
	for _, p := range prefixes {
		if name == p+what {
			return true
		}
	}
	return false
}

// IsMetadata tells whether a file is one of the small ones that mariadb-backup writes about the backup itself.
func IsMetadata(name string) bool {
	if path.Dir(name) != "." {
		return false
	}
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == "backup-my.cnf" || strings.HasSuffix(name, "_galera_info")
}

// Metadata returns the kept file called what ("info", "checkpoints", "binlog_info", "galera_info"), whichever name
// this version of the tool gives it.
func (s Summary) Metadata(what string) ([]byte, bool) {
	for _, p := range prefixes {
		if data, ok := s.Kept[p+what]; ok {
			return data, true
		}
	}
	return nil, false
}

// Binlog is a position in the binary log.
type Binlog struct {
	File string `json:"file"`
	Pos  uint64 `json:"pos"`
	GTID string `json:"gtid,omitempty"` // of the last change, may be a list with commas
}

// Info is what xtrabackup_info says. Times are in the zone of the server that ran the tool; the text has none.
type Info struct {
	UUID          string
	ToolName      string
	ToolVersion   string
	ServerVersion string
	Start, End    time.Time
	LockSeconds   int64
	Binlog        *Binlog // nil when the server writes no binary log
	FromLSN       uint64
	ToLSN         uint64
	Partial       bool
	Incremental   bool
	Compressed    bool
	Format        string
}

// ParseInfo reads xtrabackup_info. Its times are taken as those of zone.
func ParseInfo(data []byte, zone *time.Location) (Info, error) {
	v := parsePairs(data)
	i := Info{
		UUID: v.text("uuid"), ToolName: v.text("tool_name"), ToolVersion: v.text("tool_version"),
		ServerVersion: v.text("server_version"), Format: v.text("format"),
		Start: v.time("start_time", zone), End: v.time("end_time", zone),
		LockSeconds: int64(v.optionalNumber("lock_time")),
		FromLSN:     v.optionalNumber("innodb_from_lsn"), ToLSN: v.number("innodb_to_lsn"),
		Partial: v.yes("partial"), Incremental: v.yes("incremental"), Compressed: v.yes("compressed"),
	}
	i.Binlog = parseBinlogSentence(v.text("binlog_pos"))
	if v.err == nil && i.ServerVersion == "" {
		v.err = fmt.Errorf("server_version is missing")
	}
	return i, v.wrap("backup info")
}

// Checkpoints is what xtrabackup_checkpoints says. ToLSN is where the next incremental backup would begin.
type Checkpoints struct {
	BackupType              string // full-backuped, incremental or, once prepared, log-applied
	FromLSN, ToLSN, LastLSN uint64
}

// ParseCheckpoints reads xtrabackup_checkpoints.
func ParseCheckpoints(data []byte) (Checkpoints, error) {
	v := parsePairs(data)
	c := Checkpoints{
		BackupType: v.text("backup_type"),
		FromLSN:    v.number("from_lsn"), ToLSN: v.number("to_lsn"), LastLSN: v.number("last_lsn"),
	}
	if v.err == nil && c.BackupType == "" {
		v.err = fmt.Errorf("backup_type is missing")
	}
	return c, v.wrap("backup checkpoints")
}

// Galera is the position of the cluster at the consistent point.
type Galera struct {
	UUID   string
	Seqno  int64
	Domain string // of wsrep_gtid_domain_id, "" when the tool writes none
}

// ParseGaleraInfo reads xtrabackup_galera_info or donor_galera_info: "uuid:seqno" and, after a space, the GTID domain.
func ParseGaleraInfo(data []byte) (Galera, error) {
	fields := strings.Fields(string(data))
	if len(fields) == 0 || len(fields) > 2 {
		return Galera{}, fmt.Errorf("parse galera info: %q is not \"uuid:seqno domain\"", clip(data))
	}
	uuid, seqno, found := strings.Cut(fields[0], ":")
	n, err := strconv.ParseInt(seqno, 10, 64)
	if !found || err != nil || len(uuid) != 36 {
		return Galera{}, fmt.Errorf("parse galera info: %q is not \"uuid:seqno\"", clip(data))
	}
	g := Galera{UUID: uuid, Seqno: n}
	if len(fields) == 2 {
		g.Domain = fields[1]
	}
	return g, nil
}

// ParseBinlogInfo reads xtrabackup_binlog_info: file, position and GTID separated by tabs.
func ParseBinlogInfo(data []byte) (Binlog, error) {
	fields := strings.Split(strings.TrimRight(string(data), "\r\n"), "\t")
	if len(fields) < 2 || len(fields) > 3 || fields[0] == "" {
		return Binlog{}, fmt.Errorf("parse binlog info: %q is not \"file<tab>position<tab>gtid\"", clip(data))
	}
	pos, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Binlog{}, fmt.Errorf("parse binlog info: position: %w", err)
	}
	b := Binlog{File: fields[0], Pos: pos}
	if len(fields) == 3 {
		b.GTID = fields[2]
	}
	return b, nil
}

// parseBinlogSentence understands "filename 'F', position 'P', GTID of the last change 'G'"; nil if there is none.
func parseBinlogSentence(s string) *Binlog {
	parts := strings.Split(s, "'")
	if len(parts) < 4 {
		return nil
	}
	pos, err := strconv.ParseUint(parts[3], 10, 64)
	if err != nil {
		return nil
	}
	b := &Binlog{File: parts[1], Pos: pos}
	if len(parts) >= 6 {
		b.GTID = parts[5]
	}
	return b
}

func clip(data []byte) []byte { return data[:min(len(data), 80)] }

// pairs are lines of "key = value" and the first thing wrong with them.
type pairs struct {
	values map[string]string
	err    error
}

func parsePairs(data []byte) *pairs {
	v := &pairs{values: map[string]string{}}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, "="); ok {
			v.values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return v
}

func (v *pairs) text(key string) string { return v.values[key] }

func (v *pairs) yes(key string) bool {
	s := v.values[key]
	return s != "" && s != "N" && s != "0"
}

func (v *pairs) optionalNumber(key string) uint64 {
	if v.values[key] == "" {
		return 0
	}
	return v.number(key)
}

func (v *pairs) number(key string) uint64 {
	n, err := strconv.ParseUint(v.values[key], 10, 64)
	if err != nil && v.err == nil {
		v.err = fmt.Errorf("%s: %w", key, err)
	}
	return n
}

func (v *pairs) time(key string, zone *time.Location) time.Time {
	t, err := time.ParseInLocation(time.DateTime, v.values[key], zone)
	if err != nil && v.err == nil {
		v.err = fmt.Errorf("%s: %w", key, err)
	}
	return t
}

func (v *pairs) wrap(what string) error {
	if v.err != nil {
		return fmt.Errorf("parse %s: %w", what, v.err)
	}
	return nil
}
