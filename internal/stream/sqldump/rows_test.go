package sqldump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/treetest/mariadbtest"
)

const tableFile = "\n--\n-- Table structure for table `t`\n--\n\nDROP TABLE IF EXISTS `t`;\n" +
	"/*!40101 SET @saved_cs_client     = @@character_set_client */;\n" +
	"CREATE TABLE `t` (\n  `id` int(11) NOT NULL DEFAULT 5 COMMENT 'a), `b',\n  `a``b` enum('x','y)') DEFAULT NULL,\n" +
	"  `b` longblob DEFAULT NULL CHECK (json_valid(`b`)),\n  PRIMARY KEY (`id`),\n  KEY `k` (`a``b`,`id`)\n) ENGINE=InnoDB /* ; */ COMMENT=';';\n" +
	"LOCK TABLES `t` WRITE;\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n" +
	"INSERT INTO `t` VALUES (1,'x',NULL),\n(-2.5e+3,'y)','it''s\\0\\n\\'\\\\\\Z\\%');\n" +
	"INSERT  IGNORE INTO `t` (`b`,`id`) VALUES (0x4d5A,0),(_binary 'q;',0x);\n" +
	"/*!40000 ALTER TABLE `t` ENABLE KEYS */;\nUNLOCK TABLES;\n" +
	"DELIMITER ;;\n/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET @x = '('; END */;;\n"

// rows reads a table's file whole; NULL stands for itself.
func rows(file string, columns ...string) (all []string, err error) {
	err = sqldump.Rows(strings.NewReader(file), columns, func(values []sqldump.Value) error {
		var b strings.Builder
		for _, v := range values {
			if v.Null {
				b.WriteString("NULL|")
			} else {
				fmt.Fprintf(&b, "%q|", v.Text)
			}
		}
		all = append(all, b.String())
		return nil
	})
	return all, err
}

func TestRows(t *testing.T) {
	got, err := rows(tableFile, "b", "id")
	want := []string{`NULL|"1"|`, `"it's\x00\n'\\\x1a\\%"|"-2.5e+3"|`, `"MZ"|"0"|`, `"q;"|""|`}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got := sqldump.TablePath("nova.cell0", "_t"); got != "nova%2Ecell0/%5Ft.sql" {
		t.Errorf("path %s", got)
	}
}

func TestRowsThatAreRefused(t *testing.T) {
	const head = "CREATE TABLE `t` (`a` int, `b` int);\n"
	for file, want := range map[string]string{
		"":                                     "no CREATE TABLE",
		"INSERT INTO `t` VALUES (1,2);\n":      "before the table's columns",
		head + head:                            "made twice",
		head + "INSERT INTO `t` VALUES (1);\n": `')' stands where ','`,
		head + "INSERT INTO `t` VALUES (1,2,3);\n":    `',' stands where ')'`,
		head + "INSERT INTO `t` VALUES (1,2)(3,4);\n": "follows a row",
		head + "INSERT INTO `t` VALUES (1,NOW());\n":  "is no value",
		head + "INSERT INTO `t` VALUES (1,0x4);\n":    "odd digits",
		head + "INSERT INTO `t` (`a`) VALUES (1);\n":  `do not hold column "b"`,
		head + "INSERT INTO `t` (`c`) VALUES (1);\n":  `no column "c"`,
		head + "INSERT INTO `t` SELECT 1,2;\n":        "where VALUES should",
		head + "INSERT OVER `t` VALUES (1,2);\n":      "where IGNORE or INTO should",
		head + "DELETE FROM t WHERE a IN (1;\n":       "does not belong",
		"CREATE TABLE `t` (`a` int);\n":               `no column "b"`,
	} {
		if _, err := rows(file, "a", "b"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

// TestCutRowsAreAnError cuts the file everywhere but between statements.
func TestCutRowsAreAnError(t *testing.T) {
	file, _, _ := strings.Cut(tableFile, "DELIMITER")
	definition := strings.Index(file, "COMMENT=';';") + len("COMMENT=';'")
	for n := range len(file) {
		_, err := rows(file[:n], "id", "b")
		between := n > definition && strings.HasSuffix(strings.TrimRight(file[:n], "\n"), ";") && !strings.HasSuffix(file[:n], "'q;")
		if err == nil != between {
			t.Errorf("cut after %q: %v", file[max(0, n-20):n], err)
		}
		if err != nil && n > definition && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %q: %v", file[max(0, n-20):n], err)
		}
	}
}

// TestRowsOfARealDump holds what is read from a dump to what the server answers.
func TestRowsOfARealDump(t *testing.T) {
	server := mariadbtest.Start(t)
	server.Exec(t, nasty)
	for _, options := range [][]string{nil, {"--hex-blob", "--complete-insert", "--skip-extended-insert"}} {
		sum, entries := mustSplit(t, dump(t, server, append([]string{"--all-databases"}, options...)...))
		for _, table := range sum.Tables {
			checkTable(t, server, table, entries[table.Path].Data)
		}
	}
}

// checkTable compares every column that is not computed, in hex, in no order.
func checkTable(t *testing.T, server *mariadbtest.Server, table sqldump.Table, file []byte) {
	t.Helper()
	if table.DB == "sys" || table.DB == "mysql" {
		if err := sqldump.Rows(bytes.NewReader(file), nil, func([]sqldump.Value) error { table.Rows--; return nil }); err != nil || table.Rows != 0 {
			t.Errorf("%s: %v, %d rows are missing", table.Path, err, table.Rows)
		}
		return
	}
	quote := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	hexed := strings.NewReplacer("'", "''", `\`, `\\`)
	columns := strings.Fields(server.Exec(t, fmt.Sprintf("SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='%s' AND TABLE_NAME='%s' "+
		"AND IS_GENERATED='NEVER' AND DATA_TYPE NOT IN ('bit','geometry','double') ORDER BY ORDINAL_POSITION", hexed.Replace(table.DB), hexed.Replace(table.Name))))
	var parts []string
	for _, c := range columns {
		parts = append(parts, "IFNULL(CONCAT('=',HEX("+quote(c)+"+'' IS NULL),HEX(CONVERT("+quote(c)+" USING binary))),'NULL')")
	}
	want := map[string]int{}
	for line := range strings.Lines(server.Exec(t, "SELECT "+strings.Join(parts, ",")+" FROM "+quote(table.DB)+"."+quote(table.Name))) {
		want[strings.TrimSpace(line)]++
	}
	got := map[string]int{}
	err := sqldump.Rows(bytes.NewReader(file), columns, func(values []sqldump.Value) error {
		var row []string
		for _, v := range values {
			if v.Null {
				row = append(row, "NULL")
			} else {
				row = append(row, fmt.Sprintf("=0%X", v.Text))
			}
		}
		got[strings.Join(row, "\t")]++
		return nil
	})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%s: %v (-server +dump):\n%.2000s", table.Path, err, diff)
	}
}

// FuzzRows demands that nothing panics, and that what is taken for a table has as many rows as the splitter counts.
func FuzzRows(f *testing.F) {
	f.Add([]byte(tableFile))
	f.Add([]byte(strings.ReplaceAll(tableFile, "`b`", "`id`")))
	f.Add([]byte("CREATE TABLE `id` (`id` int);INSERT INTO `id` VALUES ('\\'),(',0x),(NULL);"))
	f.Fuzz(func(t *testing.T, file []byte) {
		n := 0
		err := sqldump.Rows(bytes.NewReader(file), []string{"id"}, func(values []sqldump.Value) error {
			if len(values) != 1 || values[0].Null && values[0].Text != "" {
				t.Fatalf("%+v", values)
			}
			n++
			return nil
		})
		if err == nil && n > bytes.Count(file, []byte("(")) {
			t.Fatalf("%d rows in %q", n, file)
		}
	})
}
