package sqldump

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// sections are the comments with which mariadb-dump starts each part, and what the part's file is called.
var sections = []struct {
	comment string
	start   func(s *splitter, name string) error
}{
	{"-- Current Database: ", (*splitter).startDatabase},
	{"-- Table structure for table ", (*splitter).startTable},
	{"-- Dumping data for table ", (*splitter).startTable},
	{"-- Sequence structure for ", func(s *splitter, _ string) error { return s.start(s.inDB("_sequences")) }},
	{"-- Temporary table structure for view ", (*splitter).startView},
	{"-- Temporary view structure for view ", (*splitter).startView},
	{"-- Dumping events for database ", func(s *splitter, _ string) error { return s.start(s.inDB("_events")) }},
	{"-- Dumping routines for database ", func(s *splitter, _ string) error { return s.start(s.inDB("_routines")) }},
	{"-- Final view structure for view ", func(s *splitter, _ string) error { return s.start(s.inDB("_views")) }},
}

// startsFooter tells the first line of the footer by its content.
func startsFooter(line []byte) bool {
	return bytes.HasPrefix(line, []byte("-- The deferred gtid setting")) ||
		bytes.HasPrefix(line, []byte("/*!40")) && bytes.Contains(line, []byte("=@OLD_"))
}

func (s *splitter) inDB(file string) string { return encodeDB(s.db) + "/" + file + ".sql" }

// startDatabase begins a database, or its views when it comes by for the second time.
func (s *splitter) startDatabase(name string) error {
	s.db = name
	if s.databases[name] {
		return s.start(s.inDB("_views"))
	}
	s.databases[name] = true
	s.sum.Databases = append(s.sum.Databases, name)
	return s.start(s.inDB("_schema"))
}

func (s *splitter) startTable(name string) error {
	if err := s.start(s.inDB(encodeTable(name))); err != nil || s.table != nil {
		return err
	}
	s.table = &Table{DB: s.db, Name: name, Path: s.path}
	return nil
}

func (s *splitter) startView(name string) error {
	if full := s.db + "." + name; !s.views[full] {
		s.views[full] = true
		s.sum.Views = append(s.sum.Views, full)
	}
	return s.start(s.inDB("_view/" + encodeTable(name)))
}

// section begins the part that a comment announces, if it announces one.
func (s *splitter) section(comment string) error {
	for _, c := range sections {
		name, ok := strings.CutPrefix(comment, c.comment)
		if !ok {
			continue
		}
		if strings.HasPrefix(name, "`") {
			if name, ok = quoted(name); !ok {
				return errMalformed("the name in " + strconv.Quote(comment) + " does not end")
			}
		}
		if s.db == "" && c.comment != sections[0].comment {
			return errMalformed("no database is named; mariadb-dump must run with --all-databases or --databases")
		}
		return c.start(s, name)
	}
	return nil
}

type errMalformed string

func (e errMalformed) Error() string { return string(e) }

// facts picks what comments tell of the dump itself.
func (s *splitter) facts(line string) {
	line = strings.TrimRight(line, "\r\n")
	if v, ok := strings.CutPrefix(line, "-- Server version\t"); ok {
		s.sum.ServerVersion = v
	}
	if v, ok := strings.CutPrefix(line, "-- CHANGE MASTER TO MASTER_LOG_FILE='"); ok {
		file, rest, _ := strings.Cut(v, "'")
		_, pos, _ := strings.Cut(rest, "MASTER_LOG_POS=")
		s.sum.BinlogFile = file
		s.sum.BinlogPos, _ = strconv.ParseUint(strings.TrimRight(pos, "; "), 10, 64)
	}
	if v, ok := strings.CutPrefix(line, "-- SET GLOBAL gtid_slave_pos='"); ok {
		s.sum.GTID, _, _ = strings.Cut(v, "'")
	}
	if low := strings.ToLower(line); strings.HasPrefix(low, "-- insufficient privileges") || strings.HasPrefix(low, "-- warning") {
		s.sum.Warnings = append(s.sum.Warnings, strings.TrimPrefix(line, "-- "))
	}
}

const completed = "-- Dump completed"

// completion reads the last line, whose date has a blank in front of a single digit.
func completion(line string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), completed)
	if !ok || rest == "" {
		return time.Time{}, ok
	}
	date, ok := strings.CutPrefix(rest, " on ")
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse("2006-01-02 15:04:05", strings.Join(strings.Fields(date), " "))
	return t, err == nil
}
