package acceptance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/event"
	"holdfast/test/journey"
)

// checksum is CHECKSUM TABLE's second column.
func (s scene) checksum(t *testing.T, table string) string {
	t.Helper()
	_, sum, _ := strings.Cut(query(t, s.lab, "ctl1", "CHECKSUM TABLE "+table), "\t")
	return strings.TrimSpace(sum)
}

// TestTablesOfAllKinds brings tables with everything that real servers hold into another database.
func TestTablesOfAllKinds(t *testing.T) {
	s := onStage(t)
	defer query(t, s.lab, "ctl1", "DROP DATABASE IF EXISTS oddities_restored; DROP DATABASE IF EXISTS nova_restored")
	for _, table := range []string{
		"everything", "empty", "nokey", "tab`le with spaces – ünï 表", "parent", "child", "sliced", "squeezed", "isam", "aria", "journal", "versioned",
	} {
		if out := s.op.Run("restore", "table", s.point.ID, "oddities."+table, "--yes"); !strings.Contains(out, " rows, in number and content those of the copy") {
			t.Errorf("%s: the rows were not compared:\n%s", table, out)
		}
		quoted := "`" + strings.ReplaceAll(table, "`", "``") + "`"
		if table == "versioned" {
			continue // a checksum counts the history of rows, which a dump does not hold
		}
		want, got := s.checksum(t, "oddities."+quoted), s.checksum(t, "oddities_restored."+quoted)
		if want == "" || want == "NULL" || want != got {
			t.Errorf("%s: checksum is %s, want %s", table, got, want)
		}
		created := func(db string) string {
			_, text, _ := strings.Cut(query(t, s.lab, "ctl1", "SHOW CREATE TABLE "+db+"."+quoted), "\t")
			return strings.ReplaceAll(text, db, "DB")
		}
		if want, got := created("oddities"), created("oddities_restored"); want != got {
			t.Errorf("%s is\n%s, want\n%s", table, got, want)
		}
	}
	trigger := "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_TABLE='child' AND EVENT_OBJECT_SCHEMA="
	if was, got := query(t, s.lab, "ctl1", trigger+"'oddities'"), query(t, s.lab, "ctl1", trigger+"'oddities_restored'"); was == "0" || got != "0" {
		t.Errorf("%s of %s triggers came back, where they would write to other tables", got, was)
	}
	if plan := s.op.Run("restore", "table", s.point.ID, "oddities.child", "--dry-run"); !strings.Contains(plan, "triggers are left out") {
		t.Errorf("the plan does not tell of the triggers:\n%s", plan)
	}
	s.op.Run("restore", "table", s.point.ID, "nova.instances", "--yes")
	if want, got := s.checksum(t, "nova.instances"), s.checksum(t, "nova_restored.instances"); want != got {
		t.Errorf("nova.instances: checksum is %s, want %s", got, want)
	}
	if left := query(t, s.lab, "ctl1", "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME LIKE '%incomplete'"); left != "" {
		t.Errorf("marks are left: %s", left)
	}
	s.op.Fails(1, []string{"there is a table oddities_restored.empty already", "rename or drop"}, "restore", "table", s.point.ID, "oddities.empty", "--yes")
}

// TestTableInSmallTransactions lets Galera refuse transactions that hold the whole table.
func TestTableInSmallTransactions(t *testing.T) {
	s := onStage(t)
	defer query(t, s.lab, "ctl1", "DROP DATABASE IF EXISTS scene_restored; SET GLOBAL wsrep_max_ws_rows=0")
	query(t, s.lab, "ctl1", fmt.Sprintf("SET GLOBAL wsrep_max_ws_rows=%d", bigRows/2))
	if _, err := s.lab.SQL(t.Context(), "ctl1", "CREATE DATABASE scene_restored; CREATE TABLE scene_restored.copy LIKE scene.big; INSERT INTO scene_restored.copy SELECT * FROM scene.big"); err == nil {
		t.Fatal("the limit does not hold, so that this test shows nothing")
	}
	s.op.Run("restore", "table", s.point.ID, "scene.big", "--yes")
	if want, got := s.checksum(t, "scene.big"), s.checksum(t, "scene_restored.big"); want != got {
		t.Errorf("checksum is %s, want %s", got, want)
	}
}

// TestTableReplaced exchanges a table twice and keeps what was there each time.
func TestTableReplaced(t *testing.T) {
	s := onStage(t)
	query(t, s.lab, "ctl1", "INSERT INTO scene.small VALUES (3, 'newer')")
	newer := s.checksum(t, "scene.small")
	kept := "small_before_" + strings.ReplaceAll(s.point.ID, "-", "_")
	for i, want := range []string{newer, s.sums["scene.small"]} {
		out := s.op.Run("restore", "table", s.point.ID, "scene.small", "--replace", "--yes")
		name := kept
		if i > 0 {
			name += "_2"
		}
		if got := s.checksum(t, "scene.small"); got != s.sums["scene.small"] {
			t.Errorf("checksum after the exchange is %s, want %s", got, s.sums["scene.small"])
		}
		if got := s.checksum(t, "scene."+name); got != want {
			t.Errorf("the table that was kept has checksum %s, want %s", got, want)
		}
		if i > 0 {
			break
		}
		// What is printed to take it back does so.
		undo := strings.TrimSpace(out[strings.LastIndex(out, "RENAME TABLE"):])
		query(t, s.lab, "ctl1", undo)
		if got := s.checksum(t, "scene.small"); got != newer {
			t.Errorf("checksum after taking it back is %s, want %s", got, newer)
		}
		query(t, s.lab, "ctl1", "DROP TABLE scene.small_restored")
		s.op.Run("restore", "table", s.point.ID, "scene.small", "--replace", "--yes")
	}
	query(t, s.lab, "ctl1", "DROP TABLE scene."+kept+", scene."+kept+"_2")
	s.noScratch(t)
}

func (s scene) noScratch(t *testing.T) {
	t.Helper()
	if left := query(t, s.lab, "ctl1", "SHOW DATABASES LIKE 'holdfast%'"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestTableDropped brings tables back that are gone, into their own place.
func TestTableDropped(t *testing.T) {
	s := onStage(t)
	query(t, s.lab, "ctl1", "DROP TABLE scene.lost, scene.pulled")
	s.op.Run("restore", "table", s.point.ID, "scene.lost", "--replace", "--yes")
	if got := s.checksum(t, "scene.lost"); got != s.sums["scene.lost"] {
		t.Errorf("checksum is %s, want %s", got, s.sums["scene.lost"])
	}
	s.noScratch(t)
	// A trigger that only the copy has would be lost.
	s.op.Fails(1, []string{"has a trigger in the copy", "without --replace"}, "restore", "table", s.point.ID, "scene.pulled", "--replace", "--yes")
	query(t, s.lab, "ctl1", pulled)
	s.noScratch(t)
}

func TestTableRefusals(t *testing.T) {
	s := onStage(t)
	for _, test := range []struct {
		table string
		code  int
		says  []string
		flags []string
	}{
		{"oddities.child", 1, []string{"has a foreign key", "without --replace"}, []string{"--replace"}},
		{"oddities.parent", 1, []string{"has a foreign key"}, []string{"--replace"}},
		{"scene.pulled", 1, []string{"has a trigger"}, []string{"--replace"}},
		{"scene.absent", 4, []string{"no table scene.absent", "restore files"}, nil},
		{"scene", 2, []string{"names no table"}, nil},
	} {
		args := append([]string{"restore", "table", s.point.ID, test.table, "--yes"}, test.flags...)
		s.op.Fails(test.code, test.says, args...)
	}
	wrong := s.elsewhere(t, func(config string) string {
		return strings.Replace(config, "mariadb:\n", "mariadb:\n  admin: {user: root, password: {kolla_key: keystone_admin_password}}\n", 1)
	})
	wrong.Fails(1, []string{"Access denied", "mariadb.admin"}, "restore", "table", s.point.ID, "scene.small", "--yes")
	if left := query(t, s.lab, "ctl1", "SHOW DATABASES LIKE '%restore%'"); left != "" {
		t.Errorf("a restore that was refused left %s", left)
	}
}

// TestTableCutOff kills a restore while it loads: what is there says that it is unfinished, and the next one does the
// whole work.
func TestTableCutOff(t *testing.T) {
	s := onStage(t)
	defer query(t, s.lab, "ctl1", "DROP DATABASE IF EXISTS scene_restored")
	run := s.op.Start("restore", "table", s.point.ID, "scene.big", "--yes")
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == "load scene.big" }); !ok {
		t.Fatalf("it did not load: %+v", run.Wait())
	}
	if _, ok := run.Kill(); !ok {
		t.Fatal("it ended before it was killed")
	}
	if got := query(t, s.lab, "ctl1", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='scene_restored' AND TABLE_NAME='big_incomplete'"); got != "1" {
		t.Errorf("nothing says that the table is unfinished")
	}
	s.op.Run("restore", "table", s.point.ID, "scene.big", "--yes")
	if want, got := s.checksum(t, "scene.big"), s.checksum(t, "scene_restored.big"); want != got {
		t.Errorf("checksum is %s, want %s", got, want)
	}
	if got := query(t, s.lab, "ctl1", "SHOW TABLES IN scene_restored"); got != "big" {
		t.Errorf("tables are %q", got)
	}
}

// options adds lines to ctl1's option file until the test ends.
func (s scene) options(t *testing.T, lines string) {
	t.Helper()
	file := filepath.Join(s.lab.HostDir("ctl1"), "etc/mysql/my.cnf")
	was := read(t, file)
	overwrite := func(text string) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0) // with its owner
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { overwrite(was) })
	overwrite(was + "\n" + lines + "\n")
}

// TestTableThatDiffers makes rows come out of the server differently than they are in the copy, and then not at all.
func TestTableThatDiffers(t *testing.T) {
	s := onStage(t)
	defer query(t, s.lab, "ctl1", "DROP DATABASE IF EXISTS oddities_restored; DROP DATABASE IF EXISTS scene_restored")
	for _, test := range []struct{ name, options, says string }{
		{"content", "[mariadb-dump]\nhex-blob", "rows arrived, but with hash"},
		{"number", "[mariadb-dump]\nwhere=id>1", "rows arrived, the copy holds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.op = journey.At(t, s.site)
			s.options(t, test.options)
			r := s.op.Fails(7, []string{"oddities_restored.everything", test.says, "stays in oddities_restored.everything"},
				"restore", "table", s.point.ID, "oddities.everything", "--yes")
			if got := query(t, s.lab, "ctl1", "SELECT COUNT(*) > 0 FROM oddities_restored.everything"); got != "1" {
				t.Errorf("the table is not kept: %s", r.Stderr)
			}
			if got := query(t, s.lab, "ctl1", "SHOW TABLES IN oddities_restored LIKE '%incomplete'"); got == "" {
				t.Error("nothing says that the table is not restored")
			}
			before := s.checksum(t, "scene.small")
			s.options(t, "[mariadb-dump]\nwhere=id>1")
			s.op.Fails(7, []string{"scene.small"}, "restore", "table", s.point.ID, "scene.small", "--replace", "--yes")
			if got := s.checksum(t, "scene.small"); got != before {
				t.Error("a table that differs was put in place")
			}
		})
	}
	query(t, s.lab, "ctl1", "DROP DATABASE IF EXISTS `"+restoreScratch(t, s)+"`")
	t.Run("no dump", func(t *testing.T) {
		s.op = journey.At(t, s.site)
		s.options(t, "[mariadb-dump]\nno-such-option")
		out := s.op.Run("restore", "table", s.point.ID, "scene.small", "--yes")
		if !strings.Contains(out, "2 rows, in number those of the copy; their content was not compared: ") || !strings.Contains(out, "no-such-option") {
			t.Errorf("it says\n%s", out)
		}
	})
	s.noScratch(t)
}

// restoreScratch is the database that a failed exchange left.
func restoreScratch(t *testing.T, s scene) string {
	t.Helper()
	return strings.TrimSpace(query(t, s.lab, "ctl1", "SHOW DATABASES LIKE 'holdfast%'"))
}
