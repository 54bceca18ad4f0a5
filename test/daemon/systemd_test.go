package daemon_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSystemdIsTold listens where systemd would.
func TestSystemdIsTold(t *testing.T) {
	s := newSite(t)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(s.dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "400000")
	d := s.starts()
	hears := func(what string) {
		t.Helper()
		buffer := make([]byte, 4096)
		l.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			n, err := l.Read(buffer)
			if err != nil {
				t.Fatalf("systemd does not hear %s: %v", what, err)
			}
			if strings.Contains(string(buffer[:n]), what) {
				return
			}
		}
	}
	hears("READY=1")
	hears("WATCHDOG=1")
	hears("WATCHDOG=1")
	d.Process.Signal(syscall.SIGHUP)
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	go d.kills(syscall.SIGTERM)
	hears("STOPPING=1")
	<-d.ended
}

const mostExposure = 3.6

// TestUnits has systemd read the units, and tell how exposed the services are. The manual that a unit names is there, and a service
// outlives a server of a drill that the kernel kills for its memory.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	pages := manPages(t)
	files, err := filepath.Glob("../../packaging/systemd/*")
	if err != nil || len(files) != 8 {
		t.Fatal(files, err)
	}
	verify := []string{"verify", "--man=no"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^Documentation=man:(\S+)\((\d)\)$`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(pages, m[1]+"."+m[2])); err != nil {
				t.Errorf("%s names a page that there is not: %v", file, err)
			}
		}
		if strings.HasSuffix(file, ".service") && !strings.Contains(string(text), "\nOOMPolicy=continue\n") {
			t.Errorf("%s ends when the kernel kills one of its processes for memory", file)
		}
		unit := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/holdfast", os.Args[0])), 0o600); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, strings.Replace(unit, "run@.service", "run@database.service", 1))
	}
	if out := systemd(t, dir, verify...); strings.TrimSpace(out) != "" {
		t.Errorf("systemd says:\n%s", out)
	}
	for _, unit := range []string{"holdfast.service", "holdfast-run@.service"} {
		out := systemd(t, dir, "security", "--offline=true", filepath.Join(dir, unit))
		m := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatal(out)
		}
		if score, err := strconv.ParseFloat(m[1], 64); err != nil || score > mostExposure {
			t.Errorf("%s is exposed by %s\n%s", unit, m[1], out)
		}
	}
}

// manPages is a directory with the pages that the program writes.
func manPages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command(os.Args[0], "man", dir)
	c.Env = append(os.Environ(), "TEST_HOLDFAST=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("holdfast man: %v\n%s", err, out)
	}
	return dir
}

func systemd(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("systemd-analyze", args...)
	c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}
