package sqldump_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/treetest"
	"holdfast/internal/stream/treetest/mariadbtest"
)

const nasty = "CREATE DATABASE `we``ird /db;ü`; USE `we``ird /db;ü`;\n" + `
CREATE TABLE ` + "`a b``c\n-- '`" + ` (id INT PRIMARY KEY AUTO_INCREMENT, s TEXT, b LONGBLOB, d DECIMAL(10,3), f DOUBLE, j JSON, bi BIT(5), dt DATETIME(6), g GEOMETRY);
INSERT INTO ` + "`a b``c\n-- '`" + ` (s,b,d,f,bi,dt,g) VALUES
 ('it''s \\ a "test"\n-- \n--\n-- Table structure for table \'x\'\n--\n', '\0\'\"\n\r\Z\\', -1.5, 1e100, b'101', '2020-01-01 00:00:00.123456', POINT(1,2)),
 (NULL,NULL,NULL,NULL,NULL,NULL,NULL), ('),(\'x\',(', '),(', 0, 0, 0, NULL, NULL), ('\n-- Dump completed\n;\n', '', 0, 0, 0, NULL, NULL), ('-- Dump completed on 2026-11-22  9:57:09\n', '\\', 0, 0, 0, NULL, NULL);
CREATE TABLE nopk (a VARCHAR(100), b VARBINARY(20)); INSERT INTO nopk VALUES ('x','y'),('x','y'),('','');
CREATE TABLE empty (i INT);
CREATE TABLE _underscore (i INT); INSERT INTO _underscore VALUES (1);
CREATE TABLE gen (a INT, b INT AS (a*2) STORED, c INT AS (a+1) VIRTUAL, h INT INVISIBLE); INSERT INTO gen (a,h) VALUES (1,2),(3,4);
CREATE SEQUENCE seq1 START WITH 5; SELECT NEXTVAL(seq1);
CREATE TABLE blobs (i INT PRIMARY KEY, b LONGBLOB); INSERT INTO blobs SELECT seq, RANDOM_BYTES(1024) FROM seq_1_to_2000; INSERT INTO blobs VALUES (0, REPEAT(RANDOM_BYTES(1000), 5000));
CREATE VIEW aview AS SELECT id, s FROM ` + "`a b``c\n-- '`" + `; CREATE VIEW v0 AS SELECT * FROM aview;
DELIMITER $$
CREATE TRIGGER trg BEFORE INSERT ON nopk FOR EACH ROW BEGIN -- don't
 SET NEW.a = CONCAT(NEW.a, ';--'); SET @x = 'INSERT INTO y VALUES (1);'; END$$
CREATE PROCEDURE p1() BEGIN SELECT ';'; /* it's ;; */ SELECT "
-- Dump completed
--
-- Table structure for table fake
--
"; END$$
CREATE FUNCTION f1() RETURNS INT DETERMINISTIC RETURN 1$$
CREATE EVENT e1 ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN SELECT 'it''s'; SELECT 2; END$$
SET sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES'$$
CREATE PROCEDURE "p2\"() BEGIN SELECT '\'; SELECT 1; END$$
SET sql_mode=DEFAULT$$
DELIMITER ;
CREATE DATABASE tiny; USE tiny; CREATE TABLE t (i INT, s TEXT); INSERT INTO t VALUES (1, 'it''s'), (2, '-- Dump completed\n;');
CREATE VIEW v AS SELECT * FROM t; CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW SET NEW.i = 5; CREATE PROCEDURE p() SELECT ';';
CREATE DATABASE ` + "`header.sql`" + `; CREATE DATABASE second; USE second;
CREATE TABLE t1 (i INT PRIMARY KEY, s VARCHAR(20)); INSERT INTO t1 SELECT seq, CONCAT('row ', seq) FROM seq_1_to_10000;
`

var dumpOptions = []string{"--single-transaction", "--quick", "--routines", "--triggers", "--events", "--master-data=2", "--gtid", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"}

func dump(t *testing.T, server *mariadbtest.Server, options ...string) []byte {
	t.Helper()
	cmd := server.Command("mariadb-dump", append(slices.Clone(dumpOptions), options...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("mariadb-dump: %v: %s", err, errs.String())
	}
	return out.Bytes()
}

// tables lists every base table outside the server's own schemas with its checksum and number of rows.
func tables(t *testing.T, server *mariadbtest.Server) (sums map[string]string, rows map[string]int64) {
	t.Helper()
	sums, rows = map[string]string{}, map[string]int64{}
	list := server.Exec(t, "SELECT HEX(table_schema), HEX(table_name) FROM information_schema.tables WHERE table_type='BASE TABLE' AND table_schema NOT IN ('mysql','sys','information_schema','performance_schema')")
	for line := range strings.Lines(list) {
		var db, name []byte
		if _, err := fmt.Sscanf(line, "%x\t%x", &db, &name); err != nil {
			t.Fatal(err)
		}
		quote := func(s []byte) string { return "`" + strings.ReplaceAll(string(s), "`", "``") + "`" }
		full := quote(db) + "." + quote(name)
		fields := strings.Split(strings.TrimSpace(server.Exec(t, "CHECKSUM TABLE "+full)), "\t")
		sums[string(db)+"."+string(name)] = fields[len(fields)-1]
		var n int64
		fmt.Sscan(server.Exec(t, "SELECT COUNT(*) FROM "+full), &n)
		rows[string(db)+"."+string(name)] = n
	}
	return sums, rows
}

func TestRealDumps(t *testing.T) {
	server := mariadbtest.Start(t)
	server.Exec(t, nasty)
	sums, rows := tables(t, server)
	all := dump(t, server, "--all-databases")
	sum, entries := mustSplit(t, all)
	checkRows(t, rows, sum)
	if sum.ServerVersion == "" || sum.BinlogFile == "" || sum.BinlogPos == 0 || sum.GTID == "" || sum.CompletedAt.IsZero() || len(sum.Warnings) > 0 {
		t.Errorf("summary: %+v", sum)
	}
	if diff := cmp.Diff([]string{"mysql.user", "tiny.v", "we`ird /db;ü.aview", "we`ird /db;ü.v0"}, withoutSys(sum.Views)); diff != "" {
		t.Errorf("views (-want +got):\n%s", diff)
	}
	tiny := dump(t, server, "--databases", "tiny")
	for n := range tiny {
		if _, _, err := split(bytes.NewReader(tiny[:n])); err == nil {
			t.Fatalf("cut after %d of %d bytes and taken as whole", n, len(tiny))
		}
	}
	hexed, _ := mustSplit(t, dump(t, server, "--hex-blob", "--databases", "second", "tiny", "we`ird /db;ü"))
	checkRows(t, rows, hexed)

	other := mariadbtest.Start(t)
	other.Exec(t, string(join(sum, entries)))
	loaded, _ := tables(t, other)
	if diff := cmp.Diff(sums, loaded); diff != "" {
		t.Errorf("checksums after the load (-before +after):\n%s", diff)
	}
	again, _ := mustSplit(t, dump(t, other, "--all-databases"))
	if diff := cmp.Diff(hashes(sum), hashes(again)); diff != "" {
		t.Errorf("hashes after the load (-before +after):\n%s", diff)
	}
	loadOneTable(t, other, sum, entries)
}

func withoutSys(views []string) []string {
	return slices.DeleteFunc(slices.Clone(views), func(v string) bool { return strings.HasPrefix(v, "sys.") })
}

func hashes(sum sqldump.Summary) map[string]string {
	out := map[string]string{}
	for _, table := range sum.Tables {
		if table.DB != "mysql" && table.DB != "sys" {
			out[table.DB+"."+table.Name] = fmt.Sprint(table.Rows, " rows ", table.Hash)
		}
	}
	return out
}

func checkRows(t *testing.T, want map[string]int64, sum sqldump.Summary) {
	t.Helper()
	got := map[string]int64{}
	for _, table := range sum.Tables {
		if _, ours := want[table.DB+"."+table.Name]; ours || table.DB != "mysql" && table.DB != "sys" {
			got[table.DB+"."+table.Name] = table.Rows
		}
	}
	want = maps.Clone(want)
	maps.DeleteFunc(want, func(name string, _ int64) bool { return strings.HasPrefix(name, "header.sql.") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-server +dump):\n%s", diff)
	}
}

// loadOneTable loads a table with a trigger and one full of blobs into another database, from their files alone.
func loadOneTable(t *testing.T, server *mariadbtest.Server, sum sqldump.Summary, entries map[string]treetest.Entry) {
	t.Helper()
	server.Exec(t, "CREATE DATABASE elsewhere")
	for _, table := range sum.Tables {
		if table.Name != "nopk" && table.Name != "blobs" {
			continue
		}
		parts := [][]byte{entries[sqldump.HeaderPath].Data, []byte("USE elsewhere;\n"), entries[table.Path].Data, entries[sqldump.FooterPath].Data}
		server.Exec(t, string(bytes.Join(parts, nil)))
		before := strings.Fields(server.Exec(t, "CHECKSUM TABLE `we``ird /db;ü`."+table.Name))
		after := strings.Fields(server.Exec(t, "CHECKSUM TABLE elsewhere."+table.Name))
		if before[len(before)-1] != after[len(after)-1] || after[len(after)-1] == "0" {
			t.Errorf("%s: checksum %v, then %v", table.Name, before, after)
		}
	}
	if got := server.Exec(t, "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema='elsewhere'"); got != "1\n" {
		t.Errorf("%s triggers came along", got)
	}
}
