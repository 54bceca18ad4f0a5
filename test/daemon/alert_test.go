package daemon_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/lab/smtpsink"
	"holdfast/internal/secret"
)

const password = "hunter2-of-mail"

// TestAlertJourney follows a backup that fails to the people: the real daemon's own mail is in the inbox within ten seconds of the step's
// end, and so is Alertmanager's by way of Prometheus, which scrapes the daemon. That it works again is told by both.
func TestAlertJourney(t *testing.T) {
	s := newSite(t)
	inbox, mail := mailServer(t, s.dir)
	asked := free(t)
	s.configure(usual + fmt.Sprintf("metrics: {listen: %q}\nnotify:\n  on: [failure, recovery]\n  mail: {server: %s, port: %d, ca: %s, user: hf, password: {file: %s}, from: holdfast@example.org, to: [ops@example.org]}\n",
		asked, mail.Server, mail.Port, mail.CA, mail.Password.File))
	s.starts()
	manager := start(t, "prometheus-alertmanager", alertmanagerConfig(t, s.dir, mail))
	start(t, "prometheus", prometheusConfig(t, s.dir, asked, manager))
	s.write("hosts", "[control\n") // somebody's editor saved half of it
	s.does(0, "queue", "run", "config")
	ours := inbox.find(t, "[holdfast lab] failed: backup kolla")
	theirs := inbox.find(t, "[FIRING:1] BackupFailed")
	var failed job.Result
	for _, r := range s.results() {
		if r.Step() == "backup" && !r.Good() {
			failed = r
		}
	}
	if took := ours.At.Sub(failed.Finished); took > 10*time.Second {
		t.Errorf("our mail took %s", took)
	}
	t.Logf("our mail %s after the end of the step, Alertmanager's %s", ours.At.Sub(failed.Finished), theirs.At.Sub(failed.Finished))
	if text := ours.Part("text/plain"); !strings.Contains(text, "At risk now") || !strings.Contains(text, "Next: ") {
		t.Errorf("our mail says:\n%s", text)
	}
	text := theirs.Part("text/html") + theirs.Part("text/plain")
	for _, want := range []string{"kolla", "docs/ops/runbooks.md#backupfailed", "critical"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in Alertmanager's mail:\n%s", want, text)
		}
	}
	if !theirs.TLS || theirs.User != "hf" {
		t.Errorf("Alertmanager's mail came as %+v", theirs)
	}
	s.write("hosts", inventory)
	s.does(0, "queue", "run", "config")
	inbox.find(t, "[holdfast lab] works again: backup kolla")
	inbox.find(t, "[RESOLVED] BackupFailed")
}

// TestStoppedRun stops a run without a daemon, as systemd does with a timer's whose time is over: the dead man's switch has heard of its
// beginning by then, and hears of its end, and what failed before is in the inbox.
func TestStoppedRun(t *testing.T) {
	s := newSite(t)
	inbox, mail := mailServer(t, s.dir)
	heard := make(chan string, 100)
	ping := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.URL.Path }))
	defer ping.Close()
	hears := func(want string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("heard %s, want %s", got, want)
			}
		case <-time.After(90 * time.Second):
			t.Errorf("never heard %s", want)
		}
	}
	s.configure(usual + fmt.Sprintf("  odd: {when: monthly last 12:00, do: [replicate disk, backup kolla], then: false}\n"+
		"notify:\n  mail: {server: %s, port: %d, ca: %s, user: hf, password: {file: %s}, from: holdfast@example.org, to: [ops@example.org]}\n  ping: {url: %q}\n",
		mail.Server, mail.Port, mail.CA, mail.Password.File, ping.URL+"/odd"))
	if err := os.Rename(filepath.Join(s.dir, "disk"), filepath.Join(s.dir, "away")); err != nil {
		t.Fatal(err)
	}
	run := s.slowly("run", "odd")
	hears("/odd/start")
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if run.Wait() == nil {
		t.Error("a run that was stopped ended well")
	}
	hears("/odd/fail")
	if text := inbox.find(t, "[holdfast lab] ").Part("text/plain"); !strings.Contains(text, "failed: replicate disk") {
		t.Errorf("the mail says:\n%s", text)
	}
	s.fast()
}

// mailbox is a mail server whose mails are looked for.
type mailbox struct{ *smtpsink.Server }

// find waits for a mail whose subject begins so.
func (m mailbox) find(t *testing.T, subject string) smtpsink.Mail {
	t.Helper()
	var seen []string
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		seen = nil
		for _, x := range m.Mails() {
			if seen = append(seen, x.Header("Subject")); strings.HasPrefix(x.Header("Subject"), subject) {
				return x
			}
		}
	}
	t.Fatalf("no mail %q, but %q", subject, seen)
	return smtpsink.Mail{}
}

func mailServer(t *testing.T, dir string) (mailbox, *config.Mail) {
	t.Helper()
	s, err := smtpsink.New(smtpsink.Options{User: "hf", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	address, err := s.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	write(t, filepath.Join(dir, "ca.pem"), string(s.CA))
	write(t, filepath.Join(dir, "password"), password)
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return mailbox{s}, &config.Mail{
		Server: host, Port: port, TLS: "starttls", CA: filepath.Join(dir, "ca.pem"), User: "hf", Password: secret.Ref{File: filepath.Join(dir, "password")},
		From: "holdfast@example.org", To: []string{"ops@example.org"},
	}
}

// server is a server and the address that it answers at.
type server struct {
	address string
	args    []string
}

func alertmanagerConfig(t *testing.T, dir string, m *config.Mail) server {
	t.Helper()
	name := filepath.Join(dir, "alertmanager.yml")
	write(t, name, fmt.Sprintf(`global:
  resolve_timeout: 5s
  smtp_smarthost: "%s:%d"
  smtp_from: alertmanager@example.org
  smtp_auth_username: hf
  smtp_auth_password_file: %s
  smtp_require_tls: true
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    email_configs: [{to: ops@example.org, send_resolved: true, tls_config: {ca_file: %s}}]
`, m.Server, m.Port, m.Password.File, m.CA))
	address := free(t)
	return server{address, []string{"--config.file=" + name, "--storage.path=" + filepath.Join(dir, "alertmanager"), "--web.listen-address=" + address, "--cluster.listen-address="}}
}

func prometheusConfig(t *testing.T, dir, target, manager string) server {
	t.Helper()
	rules, err := filepath.Abs("../../packaging/prometheus/holdfast.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "prometheus.yml")
	write(t, name, fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - {job_name: holdfast, static_configs: [{targets: [%q]}]}
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
`, rules, target, manager))
	address := free(t)
	return server{address, []string{"--config.file=" + name, "--storage.tsdb.path=" + filepath.Join(dir, "prometheus"), "--web.listen-address=" + address}}
}

// start runs a server until the test ends, waits until it answers, and returns where.
func start(t *testing.T, program string, c server) string {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), program+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, c.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", program, said)
		}
		log.Close()
	})
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", c.address); err == nil {
			conn.Close()
			return c.address
		}
	}
	t.Fatalf("%s does not answer", program)
	return ""
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
