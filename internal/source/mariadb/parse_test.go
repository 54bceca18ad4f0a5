package mariadb

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/secret"
)

func TestParseSurvey(t *testing.T) {
	tools, addr := parseSurvey([]byte("client=mariadb\ndump=mariadb-dump\nskip-verify=1\n" +
		"ca=/etc/mariadb/certs/root.crt\nbind-address=10.0.0.1\nbind_address=10.0.0.2,::1\nport=3306\nport=3307\ndatadir=/var/lib/mysql/\n"))
	if tools.client != "mariadb" || tools.dump != "mariadb-dump" || tools.backup != "" {
		t.Errorf("tools %+v", tools)
	}
	want := []string{"--user=u", "--protocol=tcp", "--host=10.0.0.2", "--port=3307", "--ssl-ca=/etc/mariadb/certs/root.crt"}
	if diff := cmp.Diff(want, addr.options(tools, "u")); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	tools.ca = ""
	if got := addr.options(tools, "u"); got[4] != "--skip-ssl-verify-server-cert" {
		t.Errorf("without an authority: %q", got)
	}
	addr.set("socket", "/run/s")
	if diff := cmp.Diff([]string{"--user=u", "--protocol=socket", "--socket=/run/s"}, addr.options(tools, "u")); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestServerThatListensEverywhereIsReachedOnThisMachine(t *testing.T) {
	for _, everywhere := range []string{"*", "0.0.0.0", "::", ""} {
		_, addr := parseSurvey([]byte("bind-address=" + everywhere + "\n"))
		if addr.host != "127.0.0.1" || addr.port != 3306 {
			t.Errorf("bind-address %q leads to %s", everywhere, addr)
		}
	}
}

func TestParseRowsUndoesTheClientsEscapes(t *testing.T) {
	got := parseRows("a\\tb\tc\\\\n\\n\n\tNULL\n")
	if diff := cmp.Diff([][]string{{"a\tb", "c\\n\n"}, {"", "NULL"}}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// odd is a password with every character that option files treat in their own way.
const odd = "a\"b'c#d\\e ;f=g\\n $h`"

func TestOptionFileQuotesAsTheToolsRead(t *testing.T) {
	out := must[[]byte](t)(host.Output(limit(t, 10*time.Second), host.Local{}, host.Cmd{
		Args: []string{"my_print_defaults", "--defaults-file=" + host.SecretPath, "client"}, Secret: optionFile(secret.New(odd)),
	}))
	if got := strings.TrimSuffix(string(out), "\n"); got != "--password="+odd {
		t.Errorf("the tools read %q, want %q", got, "--password="+odd)
	}
}

func TestParseGrantAndWhatIsMissing(t *testing.T) {
	cases := []struct {
		grants []string
		want   string
	}{
		{[]string{"GRANT ALL PRIVILEGES ON *.* TO `root`@`%` IDENTIFIED BY PASSWORD '*X' WITH GRANT OPTION"}, ""},
		{[]string{"GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO `b`@`%`"}, "SELECT, SHOW VIEW, TRIGGER, EVENT"},
		{[]string{"GRANT SELECT, RELOAD, PROCESS, SHOW VIEW, EVENT, TRIGGER, REPLICATION CLIENT ON *.* TO `b`@`%`"}, ""},
		{[]string{"GRANT USAGE ON *.* TO `b`@`%`", "GRANT SELECT, RELOAD, PROCESS ON `nova`.* TO `b`@`%`"},
			"RELOAD, PROCESS, BINLOG MONITOR, SELECT, SHOW VIEW, TRIGGER, EVENT"},
	}
	for _, c := range cases {
		var have []string
		for _, g := range c.grants {
			have = append(have, parseGrant(g)...)
		}
		if got := strings.Join(missing(have, needed(true, false)), ", "); got != c.want {
			t.Errorf("%q lacks %q, want %q", c.grants, got, c.want)
		}
	}
}

func TestGrantSQLQuotesTheUser(t *testing.T) {
	if got, want := GrantSQL("o'hara", false, true), "GRANT RELOAD, PROCESS, BINLOG MONITOR, SUPER ON *.* TO 'o''hara'@'%';"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMeaningfulLine(t *testing.T) {
	cases := []struct{ text, want string }{
		{"[00] 2026-11-22 09:39:14 Connecting to MariaDB server\n[00] 2026-11-22 09:39:14 Error: missing required privilege PROCESS on *.*\n" +
			"[00] 2026-11-22 09:39:14 Current privileges, as reported by 'SHOW GRANTS': \n[00] 2026-11-22 09:39:14 \tGRANT USAGE ON *.* TO `x`@`%`\n",
			"Error: missing required privilege PROCESS on *.*"},
		{"[01] 2026-11-22 09:39:14 Streaming ./nova/cannot_failed.ibd\n[00] FATAL ERROR: 2026-11-22 09:39:20 BACKUP LOCK: WSREP has not yet prepared node\n" +
			"2026-11-22  9:39:20 0 [Note] InnoDB: Starting shutdown...\n",
			"FATAL ERROR: 2026-11-22 09:39:20 BACKUP LOCK: WSREP has not yet prepared node"},
		{"[00] 2026-11-22 09:39:14 Connecting\n[01] 2026-11-22 09:39:14         ...done\n2026-11-22  9:39:20 0 [Note] InnoDB: hello\n", "Connecting"},
		{"", ""},
	}
	for _, c := range cases {
		var l stderrLog
		for line := range strings.Lines(c.text) {
			l.add(line)
		}
		if got := l.meaningful(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestStderrLogKeepsTheLastLines(t *testing.T) {
	var l stderrLog
	for range 3 * keptLines {
		l.add("old")
	}
	l.add("  last  ")
	l.add(" ")
	if len(l.lines) != keptLines || l.last() != "last" {
		t.Errorf("%d lines, the last is %q", len(l.lines), l.last())
	}
}

func TestExplainGivesTheRemedy(t *testing.T) {
	cases := map[string]string{
		"Error: missing required privilege PROCESS on *.*":                            "GRANT RELOAD, PROCESS",
		"ERROR 1045 (28000): Access denied for user 'x'@'localhost'":                  "mariadb.password",
		"Was only able to copy log from 44388 to 44404, not 318704932":                "innodb_log_file_size",
		"WSREP has not yet prepared node for application use (1047)":                  "wsrep_cluster_status",
		"Error 2013: Lost connection to server during query when dumping table":       "error log",
		"Table definition has changed, please retry transaction (1412)":               "schema change",
		"Error: 1213: Deadlock found when trying to get lock; try restarting":         "precedence",
		"Can't open file: './nova/instances.ibd' (errno: 24 \"Too many open files\")": "open files",
		"something nobody knows": "error log on ctl2",
	}
	for words, want := range cases {
		err := explain(said{&host.ExitError{Host: "ctl2", Cmd: "mariadb-backup", Code: 1}, words}, "back up", "ctl2")
		if !strings.Contains(err.Hint, want) {
			t.Errorf("%s: hint %q does not say %q", words, err.Hint, want)
		}
		if !strings.Contains(err.Error(), "mariadb on ctl2") || !strings.Contains(err.Error(), words) {
			t.Errorf("error %q names neither the node nor what its tool said", err)
		}
	}
	killed := explain(&host.ExitError{Host: "ctl2", Cmd: "mariadb-backup", Code: 137, Signal: "KILL"}, "back up", "ctl2")
	if !strings.Contains(killed.Hint, "kernel log") {
		t.Errorf("killed: hint %q", killed.Hint)
	}
}

func TestStderrLogHidesHashes(t *testing.T) {
	var l stderrLog
	l.add("1.GRANT RELOAD ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A5E0E9B31C5C6DC593391C829A587E53C0D385A3'")
	l.add("Error: GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED VIA ed25519 USING 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY'")
	for _, line := range append(l.lines, l.meaningful()) {
		if strings.Contains(line, "A5E0") || strings.Contains(line, "ZIgU") || !strings.Contains(line, "[redacted]") {
			t.Errorf("kept %q", line)
		}
	}
}

func TestMomentOfACopyIsWhenCommitsWereBlocked(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	lines := []string{
		"Acquired locks for BACKUP STAGE BLOCK_DDL", "Starting BACKUP STAGE BLOCK_COMMIT", "Acquired locks for BACKUP STAGE BLOCK_COMMIT",
		"Executing BACKUP STAGE END", "completed OK!",
	}
	for _, c := range []struct {
		name string
		told []string
		want time.Duration
	}{
		{"all stages", lines, 2 * time.Second},
		{"no stage of commits", append([]string{lines[0]}, lines[3:]...), time.Second},
		{"no stages", nil, time.Minute},
	} {
		var l lockTimes
		for i, line := range c.told {
			if begins := l.note(line, t0.Add(time.Duration(i)*time.Second)); begins != (i == 0) {
				t.Errorf("%s: the lock begins at %q: %v", c.name, line, begins)
			}
		}
		if got := l.moment(t0.Add(time.Minute)).Sub(t0); got != c.want {
			t.Errorf("%s: the moment is %s, want %s", c.name, got, c.want)
		}
	}
}
