package schema

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// server is a private standalone mariadbd, reached through its socket alone.
type server struct{ socket string }

func startServer(t *testing.T) server {
	t.Helper()
	dir, err := os.MkdirTemp("", "schema-test-") // short: a socket's path is limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir) // a starting server removes what others left, or still use, in a shared one
	s := server{socket: filepath.Join(dir, "s")}
	data := filepath.Join(dir, "data")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mariadbd", "--no-defaults", "--user="+currentUser(), "--datadir="+data, "--socket="+s.socket, "--skip-networking",
		"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--innodb-flush-method=nosync", "--debug-no-sync")
	cmd.Stderr, cmd.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(60 * time.Second); s.query("SELECT 1") != "1"; {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("server did not start:\n%s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return s
}

func currentUser() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return ""
}

func (s server) client(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "mariadb", append([]string{"--no-defaults", "--socket=" + s.socket, "-uroot", "-NB"}, args...)...)
}

// query returns the output, or the error's text, without the last newline.
func (s server) query(sql string) string {
	out, err := s.client(context.Background(), "--default-character-set=utf8mb4", "-e", sql).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (s server) run(ctx context.Context, sql io.Reader) error {
	cmd := s.client(ctx)
	cmd.Stdin = sql
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (s server) load(t *testing.T, o Options) Summary {
	t.Helper()
	start := time.Now()
	summary, err := Load(context.Background(), s.run, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %.1f s", summary.Total(), time.Since(start).Seconds())
	return summary
}

func (s server) drop() {
	for _, db := range Databases {
		s.query("DROP DATABASE IF EXISTS " + db)
	}
}

// checksums maps every base table to its CHECKSUM TABLE.
func (s server) checksums(t *testing.T) map[string]string {
	t.Helper()
	list := s.query("SET group_concat_max_len = 1 << 20; SELECT GROUP_CONCAT('`', table_schema, '`.`', REPLACE(table_name, '`', '``'), '`') FROM information_schema.tables " +
		"WHERE table_type IN ('BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED') AND table_schema IN ('" + strings.Join(Databases, "','") + "')")
	sums := map[string]string{}
	for _, line := range strings.Split(s.query("CHECKSUM TABLE "+list), "\n") {
		table, sum, _ := strings.Cut(line, "\t")
		sums[table] = sum
	}
	if len(sums) < 540 {
		t.Fatalf("%d tables, want at least 540", len(sums))
	}
	return sums
}

func TestLoadIsRepeatable(t *testing.T) {
	s := startServer(t)
	first := s.load(t, Options{Seed: 7})
	want := s.checksums(t)
	s.drop()
	s.load(t, Options{Seed: 7})
	if diff := cmp.Diff(want, s.checksums(t)); diff != "" {
		t.Errorf("same seed, other tables (-first +second):\n%s", diff)
	}
	t.Run("summary counts the rows", func(t *testing.T) {
		for table, rows := range first.Rows {
			db, name, _ := strings.Cut(table, ".")
			if got := s.query("SELECT COUNT(*) FROM " + quoteName(db) + "." + quoteName(name)); got != fmt.Sprint(rows) {
				t.Errorf("%s has %s rows, summary says %d", table, got, rows)
			}
		}
		if n := first.Total(); n < 3000 || n > 20000 {
			t.Errorf("%d rows, want a few thousand", n)
		}
	})
	t.Run("databases agree", func(t *testing.T) { checkAgreement(t, s) })
	t.Run("oddities are kept", func(t *testing.T) { checkOddities(t, s) })
	s.drop()
	s.load(t, Options{Seed: 8})
	other := s.checksums(t)
	for _, table := range []string{"keystone.project", "nova.instances", "oddities.child"} {
		if other[table] == want[table] {
			t.Errorf("%s is the same with another seed", table)
		}
	}
}

// checkAgreement asks for rows that contradict rows of another database.
func checkAgreement(t *testing.T, s server) {
	for what, sql := range map[string]string{
		"attachment to a server of another project": `SELECT COUNT(*) FROM cinder.volume_attachment a JOIN cinder.volumes v ON v.id = a.volume_id
			LEFT JOIN nova.instances i ON i.uuid = a.instance_uuid AND i.project_id = v.project_id WHERE i.uuid IS NULL`,
		"attachment unknown to nova": `SELECT COUNT(*) FROM cinder.volume_attachment a LEFT JOIN nova.block_device_mapping b
			ON b.attachment_id = a.id AND b.volume_id = a.volume_id AND b.instance_uuid = a.instance_uuid WHERE b.id IS NULL`,
		"server without image or root volume": `SELECT COUNT(*) FROM nova.instances i WHERE image_ref = '' AND NOT EXISTS
			(SELECT 1 FROM nova.block_device_mapping b WHERE b.instance_uuid = i.uuid AND b.volume_id IS NOT NULL AND b.boot_index = 0)`,
		"server of an unknown image": `SELECT COUNT(*) FROM nova.instances i LEFT JOIN glance.images g ON g.id = i.image_ref AND g.deleted = 0
			WHERE i.image_ref <> '' AND g.id IS NULL`,
		"server in no cell":             `SELECT COUNT(*) FROM nova.instances i LEFT JOIN nova_api.instance_mappings m ON m.instance_uuid = i.uuid AND m.cell_id = 2 WHERE m.id IS NULL`,
		"server of an unknown project":  `SELECT COUNT(*) FROM nova.instances i LEFT JOIN keystone.project p ON p.id = i.project_id WHERE p.id IS NULL`,
		"server without a port":         `SELECT COUNT(*) FROM nova.instances i LEFT JOIN neutron.ports p ON p.device_id = i.uuid AND p.project_id = i.project_id WHERE p.id IS NULL`,
		"volume of an unknown user":     `SELECT COUNT(*) FROM cinder.volumes v LEFT JOIN keystone.user u ON u.id = v.user_id AND u.default_project_id = v.project_id WHERE u.id IS NULL`,
		"deleted volume still attached": `SELECT COUNT(*) FROM cinder.volume_attachment a JOIN cinder.volumes v ON v.id = a.volume_id WHERE v.deleted OR v.status <> 'in-use'`,
	} {
		if got := s.query(sql); got != "0" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func checkOddities(t *testing.T, s server) {
	for sql, want := range map[string]string{
		"SELECT HEX(raw) FROM oddities.everything WHERE id = 0":                          "00FFFE275C0A",
		"SELECT fixed, LENGTH(page), LENGTH(lump) FROM oddities.everything WHERE id = 3": "🦭\t440000\t300000",
		"SELECT HEX(words) FROM oddities.everything WHERE id = 3":                        fmt.Sprintf("%X", hardWords),
		"SELECT moment, day FROM oddities.everything WHERE id = 2":                       "0000-00-00 00:00:00.000000\t0000-00-00",
		"SELECT COUNT(*) FROM oddities.`tab``le with spaces – ünï 表`":                    "2",
		"SELECT COUNT(*) > 0 FROM oddities.journal WHERE what LIKE 'negative; %'":        "1",
		"SELECT oddities.shout('ab')":                                                    "AB!;",
		"SELECT COUNT(*) FROM oddities.`grown ups`":                                      "100",
		"SELECT COUNT(*) FROM oddities.versioned FOR SYSTEM_TIME ALL":                    "30",
		"SELECT GROUP_CONCAT(engine ORDER BY engine) FROM information_schema.tables WHERE table_schema = 'oddities' AND table_name IN ('isam','aria')": "Aria,MyISAM",
		"SELECT COUNT(*) FROM information_schema.events WHERE event_schema = 'oddities'":                                                               "1",
		"SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = 'oddities'":                                                           "2",
	} {
		if got := s.query(sql); got != want {
			t.Errorf("%s\n got %q\nwant %q", sql, got, want)
		}
	}
}

func TestLoadReportsTheClientsError(t *testing.T) {
	stop := fmt.Errorf("client gone")
	_, err := Load(context.Background(), func(_ context.Context, sql io.Reader) error {
		if _, err := io.CopyN(io.Discard, sql, 1000); err != nil {
			return err
		}
		return stop
	}, Options{})
	if err == nil || !strings.Contains(err.Error(), "client gone") {
		t.Errorf("got %v, want the client's error", err)
	}
}
