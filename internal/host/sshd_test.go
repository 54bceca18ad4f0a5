package host_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/host"
)

// sshd is a server of the test's own on a free port of the loopback, with keys of its own.
type sshd struct {
	dir  string
	port int
	pid  int
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// startSSHD lets key "id" do anything, and key "mute" only run true. Its home is empty: what a login shell reads at
// its start is not this test's business.
func startSSHD(t testing.TB) *sshd {
	s := &sshd{dir: t.TempDir(), port: freePort(t)}
	for _, name := range []string{"hostkey", "otherhostkey", "id", "mute", "stranger"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", s.path(name))
	}
	read := func(name string) string {
		b, err := os.ReadFile(s.path(name + ".pub"))
		must(t, err)
		return string(b)
	}
	address := fmt.Sprintf("[127.0.0.1]:%d ", s.port)
	s.write(t, "authorized", read("id")+`command="true" `+read("mute"))
	s.write(t, "known", address+read("hostkey"))
	s.write(t, "known.changed", address+read("otherhostkey"))
	s.write(t, "known.empty", "")
	s.write(t, "config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\n"+
		"UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"+
		"SetEnv HOME=%s\n", s.port, s.path("hostkey"), s.path("authorized"), s.dir))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	log, err := os.Create(s.path("log"))
	must(t, err)
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.path("config"))
	cmd.Stderr = log
	must(t, cmd.Start())
	s.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	s.await(t)
	return s
}

func (s *sshd) await(t testing.TB) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s *sshd) path(name string) string { return filepath.Join(s.dir, name) }

func (s *sshd) write(t testing.TB, name, text string) {
	must(t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

// host reaches s with a key and a file of known hosts.
func (s *sshd) host(t testing.TB, key, known string) host.SSH {
	me, err := user.Current()
	must(t, err)
	return host.SSH{
		Name: "ctl1", Addr: "127.0.0.1", Port: s.port, User: me.Username, KeyFile: s.path(key),
		Args: []string{"-F", "none", "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + s.path(known), "-o", "GlobalKnownHostsFile=/dev/null"},
	}
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
