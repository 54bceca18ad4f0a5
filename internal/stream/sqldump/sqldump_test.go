package sqldump_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/treetest"
)

const routines = "/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES' */ ;\nDELIMITER ;;\n" +
	"CREATE PROCEDURE `p`()\nBEGIN\n-- don't; stop here\n# nor 'here\n/* nor \"here ;; */\nSELECT ';;', \"-- Dump completed\", 5--1;\n" +
	"--\n-- Table structure for table `fake`\n--\nEND ;;\nDELIMITER ;\n" +
	"/*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES' */ ;\nDELIMITER ;;\n" +
	"CREATE PROCEDURE \"q\\\"() SELECT '\\' ;;\nDELIMITER ;\n" +
	"/*!50003 SET sql_mode              = 'ANSI_QUOTES' */ ;\nDELIMITER ;;\nCREATE PROCEDURE \"r\\\"() SELECT 'it\\'s' ;;\nDELIMITER ;\n/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n"

func example() string {
	return head + database("db") + block("Sequence structure for `s`") + "DO SETVAL(`s`, 5, 0);\n" +
		table("plain", "(1,'x'),\n(2,NULL)") + table("empty", "") +
		table("nasty`na/me", "(1,'it''s \\\\','(),(\\'--\\n'),(2,'\\\\',_binary '\\0\n;--\n--\n-- Table structure for table `t`\n--\n'),(3,0xDEADBEEF,-1.5e10)") +
		block("Temporary table structure for view `a view`") + "/*!50001 CREATE VIEW `a view` AS SELECT\n 1 AS `x` */;\n" +
		table("z", "(1)") + block("Dumping events for database 'db'") + block("Dumping routines for database 'db'") + routines +
		database("_other.db") + table("_t", "(1)") +
		block("Current Database: `db`") + "USE `db`;\n\n" + block("Final view structure for view `a view`") + "/*!50001 VIEW `a view` AS select 1 */;\n\n" +
		block("Current Database: `_other.db`") + "USE `_other.db`;\n\n" + foot
}

func TestSplit(t *testing.T) {
	sum, entries := mustSplit(t, []byte(example()))
	want := []string{"header.sql", "db/_schema.sql", "db/_sequences.sql", "db/plain.sql", "db/empty.sql", "db/nasty`na%2Fme.sql",
		"db/_view/a view.sql", "db/z.sql", "db/_events.sql", "db/_routines.sql", "%5Fother%2Edb/_schema.sql", "%5Fother%2Edb/%5Ft.sql",
		"db/_views.sql", "%5Fother%2Edb/_views.sql", "footer.sql"}
	if diff := cmp.Diff(want, sum.Order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	rows := map[string]int64{}
	for _, table := range sum.Tables {
		rows[table.DB+"."+table.Name] = table.Rows
		if int(table.Bytes) != len(entries[table.Path].Data) {
			t.Errorf("%s has %d bytes, not %d", table.Path, len(entries[table.Path].Data), table.Bytes)
		}
	}
	if diff := cmp.Diff(map[string]int64{"db.plain": 2, "db.empty": 0, "db.nasty`na/me": 3, "db.z": 1, "_other.db._t": 1}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	sum.Tables, sum.Order = nil, nil
	facts := sqldump.Summary{Version: 1, ServerVersion: "10.11.19-MariaDB-log", BinlogFile: "mysql-bin.000007", BinlogPos: 385, GTID: "0-1-24,1-1-9",
		CompletedAt: time.Date(2026, 11, 22, 9, 57, 9, 0, time.UTC), Sandbox: true, Bytes: int64(len(example())), Rows: 7,
		Databases: []string{"db", "_other.db"}, Views: []string{"db.a view"}}
	if diff := cmp.Diff(facts, sum); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestOrderFile(t *testing.T) {
	sum, entries := mustSplit(t, []byte(example()))
	var read sqldump.Summary
	if err := json.Unmarshal(entries[sqldump.OrderPath].Data, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sum, read); diff != "" {
		t.Errorf("order.json (-summary +read):\n%s", diff)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	dump := []byte(example())
	for n := range dump {
		if _, _, err := split(bytes.NewReader(dump[:n])); err == nil {
			t.Errorf("cut after %d of %d bytes and taken as whole", n, len(dump))
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct{ dump, text string }{
		"goes on":        {head + database("d") + foot + "SELECT 1;\n", "goes on after"},
		"twice":          {head + database("d") + foot + head + foot, "goes on after"},
		"no database":    {head + table("t", "(1)") + foot, "no database is named"},
		"row not closed": {head + database("d") + table("t", "(1),(2") + foot, "ends inside a row"},
		"row not opened": {head + database("d") + table("t", "(1),2)") + foot, "did not begin"},
		"string open":    {head + database("d") + table("t", "(1,'x)") + foot, "unexpected EOF"},
		"name open":      {head + block("Current Database: `x") + foot, "does not end"},
		"odd completion": {head + database("d") + strings.Replace(foot, "2026", "x", 1), "no completion line"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := split(strings.NewReader(c.dump))
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			var located *sqldump.Error
			if !errors.As(err, &located) || located.Path == "" {
				t.Errorf("%v says no place", err)
			}
		})
	}
	broken := errors.New("the wire broke")
	if _, _, err := split(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestReadSizes reads one byte at a time, and rows far longer than the buffer, and expects the same of both.
func TestReadSizes(t *testing.T) {
	long := strings.Repeat("x'',(--\n\\'", 1<<18)
	dump := head + database("d") + table("t", "(1,'"+long+"'),(2,'y'),(3,'"+long+long+"')") + foot
	want, _ := mustSplit(t, []byte(dump))
	if want.Tables[0].Rows != 3 {
		t.Errorf("counted %d rows", want.Tables[0].Rows)
	}
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(strings.NewReader(dump)), "half": iotest.HalfReader(strings.NewReader(dump)), "data and EOF": iotest.DataErrReader(strings.NewReader(dump)),
	} {
		sum, entries, err := split(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, sum); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if string(join(sum, entries)) != dump {
			t.Errorf("%s: the parts differ from the dump", name)
		}
	}
}

func hashOf(t *testing.T, rows string) sqldump.Hash {
	t.Helper()
	sum, _ := mustSplit(t, []byte(head+database("d")+table("t", rows)+foot))
	return sum.Tables[0].Hash
}

func TestHash(t *testing.T) {
	base := hashOf(t, "(1,'a'),(2,'b'),(2,'b')")
	for rows, same := range map[string]bool{
		"(2,'b'),(1,'a'),(2,'b')":                                           true,
		"(2,'b');\nINSERT INTO `t` VALUES (2,'b'),\n(1,'a')":                true,
		"(2,'b');\nINSERT INTO `t` (`i`, `VALUES`) VALUES\n(2,'b'),(1,'a')": true,
		"(1,'a'),(2,'b')":         false,
		"(1,'b'),(2,'a'),(2,'b')": false,
		"(1,'a'),(2,'b'),(2,'c')": false,
		"(1,'a'),(1,'a'),(2,'b')": false,
	} {
		if got := hashOf(t, rows); (got == base) != same {
			t.Errorf("%s: hash is the same: %v", rows, got == base)
		}
	}
	text, _ := base.MarshalText()
	var back sqldump.Hash
	if err := back.UnmarshalText(text); err != nil || back != base {
		t.Errorf("%s came back as %s: %v", text, back, err)
	}
	if back.UnmarshalText([]byte("xyz")) == nil {
		t.Error("parsed xyz")
	}
}

func TestRepeatedParts(t *testing.T) {
	view := func(name string) string { return block("Temporary table structure for view `" + name + "`") }
	sum, _ := mustSplit(t, []byte(head+database("d")+block("Dumping routines for database 'd'")+view("v")+block("Dumping routines for database 'd'")+view("v")+foot))
	want := []string{"header.sql", "d/_schema.sql", "d/_routines.sql", "d/_view/v.sql", "d/_routines~2.sql", "d/_view/v~2.sql", "footer.sql"}
	if diff := cmp.Diff(want, sum.Order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWarnings(t *testing.T) {
	sum, _ := mustSplit(t, []byte(head+database("d")+"-- insufficient privileges to SHOW CREATE PROCEDURE `p`\n"+foot))
	if diff := cmp.Diff([]string{"insufficient privileges to SHOW CREATE PROCEDURE `p`"}, sum.Warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := sqldump.Split(ctx, strings.NewReader(example()), treetest.Discard{}, sqldump.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(example()))
	f.Add([]byte(head + foot))
	f.Add([]byte("--\n--\n--\n\n"))
	f.Add([]byte(head + database("d") + table("t", "(1)") + foot))
	f.Fuzz(func(t *testing.T, dump []byte) {
		sum, entries, err := split(bytes.NewReader(dump))
		if err == nil && !bytes.Equal(join(sum, entries), dump) {
			t.Error("the parts differ from the dump")
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	for name, row := range map[string]string{
		"narrow": "(123456,'2026-11-22 09:57:09',NULL,'available','d57b729c-e658-11f1-b35a-02fc00000001',0),\n",
		"text":   "(1,'" + strings.Repeat("lorem ipsum dolor sit amet ", 20) + "'),\n",
		"blob":   "(1,'" + strings.Repeat("\x01\xfe\\0xy\\'z\x80\x81abcdefgh", 60) + "'),\n",
	} {
		b.Run(name, func(b *testing.B) {
			insert := "INSERT INTO `t` VALUES\n" + strings.Repeat(row, 1<<20/len(row)) + "(1);\n"
			dump := []byte(head + database("d") + table("t", "(1)") + strings.Repeat(insert, 64) + foot)
			b.SetBytes(int64(len(dump)))
			b.ReportAllocs()
			start := cpuSeconds()
			for b.Loop() {
				if _, err := sqldump.Split(context.Background(), bytes.NewReader(dump), treetest.Discard{}, sqldump.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(dump))/1e6/(cpuSeconds()-start), "MB/cpu-s")
		})
	}
}

// cpuSeconds is what this process has used, which a busy machine does not change.
func cpuSeconds() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
