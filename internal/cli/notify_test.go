package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/lab/smtpsink"
	"holdfast/internal/notify"
)

// TestWarnUntold: status says of mail that does not leave.
func TestWarnUntold(t *testing.T) {
	cfg := &config.Config{Cloud: "c", State: t.TempDir(), Notify: config.Notify{
		On: config.News, Mail: &config.Mail{Server: "127.0.0.1", Port: 1, TLS: "none", From: "a@example.org", To: []string{"b@example.org"}},
	}}
	teller := notify.New(cfg, time.Now, nil)
	teller.Result(job.Result{Job: "database", Args: []string{"backup", "mariadb"}, Exit: 1, Kind: "failed", Started: time.Now(), Finished: time.Now()})
	if err := teller.Flush(t.Context()); err == nil {
		t.Fatal("nobody listens on port 1, and mail was sent")
	}
	var said strings.Builder
	a := &app{env: Env{Stderr: &said, Stdout: &said, Now: time.Now, Getenv: func(string) string { return "" }, IsTerminal: func(any) bool { return false }}}
	a.warnUntold(cfg)
	if got := said.String(); !strings.Contains(got, "mail:b@example.org is failing since") || !strings.Contains(got, "1 news wait: holdfast notify test") {
		t.Errorf("said %q", got)
	}
}

// TestNotifyTest: what the command sends arrives, and the password is in nothing that it says.
func TestNotifyTest(t *testing.T) {
	server, err := smtpsink.New(smtpsink.Options{User: "hf", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	address, err := server.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dir := t.TempDir()
	_, port, _ := strings.Cut(address, ":")
	for name, text := range map[string]string{
		"ca.pem": string(server.CA), "password": "hunter2\n",
		"h.yml": "cloud: c\nstate: state\ntiers: [{name: local, url: 'file:vault'}]\nnotify:\n" +
			"  mail: {server: 127.0.0.1, port: " + port + ", ca: ca.pem, user: hf, password: {file: password}, from: a@example.org, to: [b@example.org, c@example.org]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, said strings.Builder
	env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said, Now: time.Now, Getenv: func(string) string { return "" }, IsTerminal: func(any) bool { return false }}
	code := Main(t.Context(), []string{"-c", filepath.Join(dir, "h.yml"), "notify", "test"}, env)
	if code != 0 || strings.Count(out.String(), "taken") != 2 || strings.Contains(out.String()+said.String(), "hunter2") {
		t.Errorf("exit %d\n%s%s", code, &out, &said)
	}
	if got := server.Mails(); len(got) != 2 || got[0].Header("Subject") != "[holdfast c] test: this is how you are told" || got[0].User != "hf" {
		t.Errorf("got %+v", got)
	}
}
