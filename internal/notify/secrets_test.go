package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/lab/smtpsink"
	"holdfast/internal/secret"
)

// TestNoSecretLeaves hides secrets everywhere that text comes from, and looks for them in everything that leaves or is kept.
func TestNoSecretLeaves(t *testing.T) {
	server, m := sink(t, smtpsink.Options{User: "hf", Password: smtpPassword})
	s, dir := newSite(t), t.TempDir()
	write(t, filepath.Join(dir, "key"), "plainword\n") // that nothing about gives away
	cfg := settings(t, config.Notify{
		Mail:    m,
		Webhook: &config.Webhook{URL: config.Address{Plain: s.URL + "/hook"}, Secret: secret.Ref{File: filepath.Join(dir, "key")}},
	})
	teller := New(cfg, time.Now, nil)
	r := step("database", "backup mariadb", "failed", time.Now())
	r.Error = strings.Join([]string{
		"the hook said plainword", smtpPassword, "https://u:hunter2@h/x", "get https://h/x?a=1&access_token=hunter2&b=2", "password=hunter2", "PASSWORD: hunter2",
		`{"secret_key": "hunter2"}`, "Authorization: Bearer hunter2", "https://hc-ping.example.org/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f/fail",
		"https://hooks.example.org/services/T0hunter2hunter2hunter2AAAA", "-----BEGIN RSA PRIVATE KEY-----\nhunter2",
	}, ", ")
	r.Hint = "try MYSQL_PWD, --password=hunter2"
	teller.Result(r)
	teller.Overview(cloud(time.Now(), coverage.Broken{Promise: "tier", Tier: "s3", Text: "tier s3 cannot be opened: s3://key:hunter2@h and plainword"}))
	if err := teller.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(server.Mails()) != 1 || len(s.texts) != 1 {
		t.Fatalf("%d mails, %d posts", len(server.Mails()), len(s.texts))
	}
	mail := server.Mails()[0]
	kept, err := os.ReadFile(stateFile(teller.dir))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"text": mail.Part("text/plain"), "html": mail.Part("text/html"), "subject": mail.Header("Subject"), "post": s.texts[0],
	} {
		for _, hidden := range []string{"hunter2", "plainword", "0a1b2c3d-0a1b"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %q in\n%s", what, hidden, text)
			}
		}
	}
	if strings.Contains(string(kept), "hunter2") {
		t.Errorf("kept:\n%s", kept)
	}
	if text := mail.Part("text/plain"); !strings.Contains(text, "[redacted]") || !strings.Contains(text, "&b=2") {
		t.Errorf("too much is gone:\n%s", text)
	}
}

// TestWhatIsNoSecretStays: sentences of ours that speak of secrets are left alone.
func TestWhatIsNoSecretStays(t *testing.T) {
	teller, _, _ := quiet(t)
	for _, text := range []string{
		"get the passphrase of tier local: open /etc/holdfast/passphrase: no such file or directory",
		"give it passphrase: {file: …} in holdfast.yml", "secret: it cannot come from passwords.yml",
		"holdfast verify --heal --all --tier s3", "s3://backups/prod at https://s3.example.com:8000",
		"tier s3 cannot be opened: Get \"https://s3.example.com/backups/?location=\": dial tcp 192.0.2.1:443: connection refused",
	} {
		if got := teller.clean(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
