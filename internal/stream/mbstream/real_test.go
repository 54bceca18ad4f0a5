package mbstream_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream/mbstream"
	"holdfast/internal/stream/treetest"
	"holdfast/internal/stream/treetest/mariadbtest"
)

// TestRealStreams backs a real server up while DDL changes tables that are already copied, and others all the time.
// The streams hold renames, removes and rewrites; each must give the same files as mbstream makes of it, and the
// result must prepare.
func TestRealStreams(t *testing.T) {
	server := mariadbtest.Start(t, "--innodb-log-file-size=1G")
	server.Exec(t, "CREATE DATABASE bulk; USE bulk; CREATE TABLE t (id INT PRIMARY KEY, pad VARBINARY(900)); INSERT INTO t SELECT seq, RANDOM_BYTES(900) FROM seq_1_to_8000;")
	server.Exec(t, "CREATE DATABASE ddl; CREATE DATABASE busy;")
	var seen mbstream.Summary
	for round := range 2 {
		sum := checkStream(t, backupDuringDDL(t, server, round))
		seen.Renames += sum.Renames
		seen.Removes += sum.Removes
		seen.Rewrites += sum.Rewrites
		t.Logf("round %d: %d files, %d renames, %d removes, %d rewrites, %d ignored", round, sum.Files, sum.Renames, sum.Removes, sum.Rewrites, sum.Ignored)
	}
	if seen.Renames == 0 || seen.Removes == 0 || seen.Rewrites == 0 {
		t.Errorf("the streams did not hold everything: %d renames, %d removes, %d rewrites", seen.Renames, seen.Removes, seen.Rewrites)
	}
}

// backupDuringDDL returns the file that holds the stream.
func backupDuringDDL(t *testing.T, server *mariadbtest.Server, round int) string {
	t.Helper()
	for i := range 6 {
		for _, engine := range []string{"InnoDB", "Aria"} {
			server.Exec(t, fmt.Sprintf(`USE ddl; CREATE OR REPLACE TABLE %[1]s%[2]d (i INT PRIMARY KEY, s TEXT) ENGINE=%[1]s;
				INSERT INTO %[1]s%[2]d SELECT seq, REPEAT('x', 200) FROM seq_1_to_500;`, engine, i))
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ddlLoop(server, round, stop)
	}()
	defer func() { close(stop); <-done }()
	return backup(t, server, func(line string) {
		if !strings.Contains(line, "Finished BACKUP STAGE START") { // Aria's tables are copied now
			return
		}
		for _, e := range []string{"InnoDB", "Aria"} {
			server.Exec(t, fmt.Sprintf(`USE ddl; RENAME TABLE %[1]s0 TO moved%[1]s%[2]d; DROP TABLE %[1]s1; ALTER TABLE %[1]s2 ADD COLUMN c INT, ALGORITHM=COPY;
				TRUNCATE TABLE %[1]s3; RENAME TABLE %[1]s4 TO x, %[1]s5 TO %[1]s4, x TO %[1]s5; CREATE TABLE new%[1]s%[2]d LIKE %[1]s2;`, e, round))
		}
	})
}

func ddlLoop(server *mariadbtest.Server, round int, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		for _, engine := range []string{"InnoDB", "Aria"} {
			server.Try(fmt.Sprintf(`USE busy; CREATE TABLE a (i INT PRIMARY KEY, s TEXT) ENGINE=%[2]s; INSERT INTO a SELECT seq, REPEAT('x', 200) FROM seq_1_to_200;
				CREATE TABLE b LIKE a; RENAME TABLE a TO r%[1]s; ALTER TABLE r%[1]s ADD COLUMN c INT, ALGORITHM=COPY; TRUNCATE TABLE b; DROP TABLE b;
				INSERT INTO r%[1]s (i) VALUES (0);`, fmt.Sprintf("%s%d_%d", engine, round, i%20), engine))
			server.Try(fmt.Sprintf("DROP TABLE IF EXISTS busy.r%s%d_%d", engine, round, (i+10)%20))
		}
		server.Try("USE bulk; RENAME TABLE t TO u; ALTER TABLE u FORCE; RENAME TABLE u TO t;")
	}
}

// backup runs mariadb-backup, slowed down, and tells every line of its log to line.
func backup(t *testing.T, server *mariadbtest.Server, line func(string)) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := server.Command("mariadb-backup", "--backup", "--stream=mbstream", "--parallel=4", "--throttle=150")
	cmd.Stdout = out
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		line(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("mariadb-backup: %v\n%s", err, text.String())
	}
	return out.Name()
}

func checkStream(t *testing.T, path string) mbstream.Summary {
	t.Helper()
	sum, ours := extractTo(t, path)
	checkMetadata(t, sum)
	compareWithTool(t, path, ours)
	prepare(t, ours)
	return sum
}

// extractTo extracts the stream in a file to a new directory.
func extractTo(t *testing.T, path string) (mbstream.Summary, string) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	dir := filepath.Join(t.TempDir(), "data")
	tree, err := treetest.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner, group := mariadbtest.Owner(t)
	sum, err := mbstream.Extract(context.Background(), in, tree, mbstream.Options{UID: owner, GID: group, ModTime: time.Unix(1, 0)})
	if err == nil {
		err = sum.Complete()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sum, dir
}

func prepare(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("mariadb-backup", "--prepare", "--target-dir="+dir).CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v\n%s", err, out)
	}
}

func compareWithTool(t *testing.T, path, ours string) {
	t.Helper()
	theirs := t.TempDir()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command("mbstream", "-x", "-C", theirs)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("mbstream: %v: %s", err, out)
	}
	want, err := treetest.ReadDir(theirs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treetest.ReadDir(ours)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 100 {
		t.Fatalf("mbstream made only %d files", len(want))
	}
	for _, line := range treetest.Diff(want, got) {
		t.Error(line)
	}
}

func checkMetadata(t *testing.T, sum mbstream.Summary) {
	t.Helper()
	data, _ := sum.Metadata("info")
	info, err := mbstream.ParseInfo(data, time.UTC)
	if err != nil || info.Binlog == nil {
		t.Fatalf("info: %+v, %v", info, err)
	}
	data, _ = sum.Metadata("checkpoints")
	points, err := mbstream.ParseCheckpoints(data)
	if err != nil || points.ToLSN != info.ToLSN || points.BackupType != "full-backuped" {
		t.Fatalf("checkpoints: %+v, %v", points, err)
	}
	data, _ = sum.Metadata("binlog_info")
	position, err := mbstream.ParseBinlogInfo(data)
	if err != nil || position != *info.Binlog {
		t.Fatalf("binlog info: %+v and %+v, %v", position, *info.Binlog, err)
	}
}

// TestDatabaseDroppedMeanwhile drops two databases while a backup runs and creates one of them again. The new one
// must be there after the restore, with its rows, and the other must not.
func TestDatabaseDroppedMeanwhile(t *testing.T) {
	server := mariadbtest.Start(t, "--innodb-log-file-size=256M")
	for _, db := range []string{"again", "gone"} {
		server.Exec(t, fmt.Sprintf(`CREATE DATABASE %[1]s; USE %[1]s; CREATE TABLE old (i INT PRIMARY KEY); CREATE TABLE olda (i INT) ENGINE=Aria;
			INSERT INTO old SELECT seq FROM seq_1_to_1000; INSERT INTO olda SELECT seq FROM seq_1_to_1000;`, db))
	}
	dropped := false
	path := backup(t, server, func(line string) {
		if dropped || !strings.Contains(line, "Finished BACKUP STAGE START") {
			return
		}
		dropped = true
		server.Exec(t, `DROP DATABASE gone; DROP DATABASE again; CREATE DATABASE again; USE again;
			CREATE TABLE new (i INT PRIMARY KEY); INSERT INTO new SELECT seq FROM seq_1_to_77;
			CREATE TABLE newa (i INT) ENGINE=Aria; INSERT INTO newa SELECT seq FROM seq_1_to_78;`)
	})
	sum, dir := extractTo(t, path)
	if diff := cmp.Diff([]string{"again"}, sum.Spared); diff != "" {
		t.Errorf("spared (-want +got):\n%s", diff)
	}
	prepare(t, dir)
	restored := mariadbtest.StartOn(t, dir)
	got := restored.Exec(t, "SHOW DATABASES LIKE '%g%n%'; SHOW TABLES FROM again; SELECT COUNT(*) FROM again.new; SELECT COUNT(*) FROM again.newa;")
	if want := "again\nnew\nnewa\n77\n78\n"; got != want {
		t.Errorf("restored %q, want %q", got, want)
	}
}
