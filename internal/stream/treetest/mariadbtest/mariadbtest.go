// Package mariadbtest starts a private MariaDB server for one test: its own datadir and socket, no network.
package mariadbtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a running mariadbd. Its root has no password and only this machine's users reach its socket.
type Server struct {
	Dir    string // everything the server owns
	Socket string
}

// Start initialises and starts a server with the given extra options, and stops it when the test ends.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	dir := tempDir(t)
	data := filepath.Join(dir, "data")
	run(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, tmpdir(dir), "--user="+account(t), "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-use-native-aio=0")
	return StartOn(t, data, options...)
}

// StartOn starts a server on a datadir that is ready, such as a prepared backup whose files have the owner that Owner
// names.
func StartOn(t testing.TB, data string, options ...string) *Server {
	t.Helper()
	dir := tempDir(t)
	s := &Server{Dir: dir, Socket: filepath.Join(dir, "s")}
	if os.Getuid() == 0 {
		run(t, "chown", "-R", account(t), data)
		openParents(t, data)
	}
	args := append([]string{"--no-defaults", "--datadir=" + data, tmpdir(dir), "--user=" + account(t), "--socket=" + s.Socket, "--pid-file=" + filepath.Join(dir, "pid"),
		"--skip-networking", "--server-id=1", "--log-bin=mysql-bin", "--log-error=" + filepath.Join(dir, "error.log"), "--character-set-server=utf8mb4",
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--innodb-flush-log-at-trx-commit=0", "--loose-innodb-use-native-aio=0"}, options...)
	cmd := exec.Command("mariadbd", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() { stop(cmd.Process, exited) })
	s.await(t, exited)
	return s
}

// tmpdir makes a server keep its temporary files to itself: one that starts removes what others left, or still use, in a
// directory that they share.
func tmpdir(dir string) string { return "--tmpdir=" + dir }

// tempDir is one that the server's account owns and that a short socket path fits in.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mariadbtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		run(t, "chown", account(t), dir)
	}
	return dir
}

// openParents lets the server's account pass through the directories that the test package made above data.
func openParents(t testing.TB, data string) {
	t.Helper()
	for dir := filepath.Dir(data); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, info.Mode()|0o011); err != nil {
			t.Fatal(err)
		}
	}
}

// account is the name the server runs as.
func account(t testing.TB) string {
	t.Helper()
	if os.Getuid() == 0 {
		return "mysql"
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// Owner is the user and group that the server runs as.
func Owner(t testing.TB) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup(account(t))
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(id), uint32(group)
}

func stop(p *os.Process, exited <-chan struct{}) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(20 * time.Second):
		p.Kill()
		<-exited
	}
}

func (s *Server) await(t testing.TB, exited <-chan struct{}) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		_, err := s.exec("SELECT 1")
		if err == nil {
			return
		}
		select {
		case <-exited:
			log, _ := os.ReadFile(filepath.Join(s.Dir, "error.log"))
			t.Fatalf("mariadbd ended at once:\n%s", log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("mariadbd is not up: %v", err)
		}
	}
}

// Exec runs statements, as the mariadb client reads them, and returns what they print: columns separated by tabs,
// without headings.
func (s *Server) Exec(t testing.TB, sql string) string {
	t.Helper()
	out, err := s.exec(sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try is Exec for statements that may fail.
func (s *Server) Try(sql string) error {
	_, err := s.exec(sql)
	return err
}

func (s *Server) exec(sql string) (string, error) {
	cmd := exec.Command("mariadb", "--no-defaults", "--socket="+s.Socket, "--user=root", "--batch", "--skip-column-names",
		"--default-character-set=utf8mb4", "--max-allowed-packet=1G")
	cmd.Stdin = strings.NewReader(sql)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("mariadb: %w: %s", err, errs.Bytes())
	}
	return out.String(), nil
}

// Command returns a client command with the options that reach this server in front of args.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	return exec.Command(name, append([]string{"--no-defaults", "--socket=" + s.Socket, "--user=root"}, args...)...)
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
