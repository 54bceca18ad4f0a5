package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/secret"
)

const told = "cloud: c\ntiers: [{name: local, url: 'file:///v'}]\n"

func TestNotify(t *testing.T) {
	c, err := Parse("/etc/h.yml", []byte(told))
	if err != nil || c.Notify.Digest != DefaultDigest || len(c.Notify.On) != len(News) || c.Metrics.Listen != DefaultListen {
		t.Fatalf("defaults: %+v, %v", c, err)
	}
	c, err = Parse("/etc/h.yml", []byte(told+`notify:
  mail: {server: mail.example.org, user: hf, password: {file: mp}, from: hf@example.org, to: [ops@example.org]}
  webhook: {url: "https://hooks.example.org/x", secret: {command: "pass hook"}}
  ping: {url: {file: ping}, jobs: {database: {file: pi}}}
  digest: weekly friday at 07:30
  on: [failure, digest]
metrics: {listen: none, per_image: true, textfile: /x/holdfast.prom}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Notify{
		Mail:    &Mail{Server: "mail.example.org", Port: 587, TLS: "starttls", User: "hf", Password: secret.Ref{File: "/etc/mp"}, From: "hf@example.org", To: []string{"ops@example.org"}},
		Webhook: &Webhook{URL: Address{Plain: "https://hooks.example.org/x"}, Secret: secret.Ref{Command: "pass hook"}},
		Ping:    &Ping{URL: Address{Ref: secret.Ref{File: "/etc/ping"}}, Jobs: map[string]Address{"database": {Ref: secret.Ref{File: "/etc/pi"}}}},
		Digest:  Digest{Every: "weekly", Day: time.Friday, At: 7*time.Hour + 30*time.Minute},
		On:      []string{"failure", "digest"},
	}
	if diff := cmp.Diff(want, c.Notify); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(Metrics{Listen: "none", PerImage: true, Textfile: "/x/holdfast.prom"}, c.Metrics); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestNotifyIsChecked: each fault is told with its line and column, and no address that may hold a token is repeated.
func TestNotifyIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"notify: {mail: {server: m, from: a@b}}":                                                     "3:16: notify.mail.to is missing",
		"notify: {mail: {server: 'm:25', from: a@b, to: [c@d]}}":                                     `3:25: notify.mail.server: "m:25" is not the name of a server`,
		"notify: {mail: {server: m, from: 'A <a@b>', to: [c@d]}}":                                    "3:34: notify.mail.from",
		"notify: {mail: {server: m, from: a@b, to: [c@d, c@d]}}":                                     `3:49: notify.mail.to[1]: recipient "c@d" is already used`,
		"notify: {mail: {server: m, from: a@b, to: [c@d], user: u}}":                                 "3:16: notify.mail has only one of user and password",
		"notify: {mail: {server: m, tls: none, from: a@b, to: [c@d], user: u, password: {file: p}}}": "3:33: notify.mail.tls: a password does not leave this host in clear",
		"notify: {mail: {server: m, password: hunter2, from: a@b, to: [c@d]}}":                       "3:38: notify.mail.password must say where the secret is",
		"notify: {webhook: {url: 'ftp://hunter2'}}":                                                  "3:25: notify.webhook.url: it is not the URL of a page",
		"notify: {webhook: {url: 'https://u:hunter2@h/x'}}":                                          "3:25: notify.webhook.url: credentials do not belong in a URL",
		"notify: {ping: {}}": "3:16: notify.ping has no address",
		"notify: {ping: {jobs: {databse: 'https://h/x'}}}": `3:24: notify.ping.jobs: there is no job "databse"`,
		"notify: {ping: {jobs: [a]}}":                      "3:23: notify.ping.jobs must be addresses by the name of a job",
		"notify: {digest: at noon}":                        `3:18: notify.digest: "at noon" is not a time`,
		"notify: {digest: weekly someday at 08:00}":        "3:18: notify.digest",
		"notify: {digest: daily at 25:00}":                 "3:18: notify.digest",
		"notify: {on: [failures]}":                         `3:15: notify.on[0]: "failures" is not known (did you mean "failure"?)`,
		"metrics: {listen: 9466}":                          "3:19: metrics.listen must be text",
		"metrics: {listen: ':9466'}":                       `3:19: metrics.listen: ":9466" is not HOST:PORT`,
		"metrics: {per_pool: true}":                        `3:11: unknown key "per_pool" in metrics`,
	} {
		_, err := Parse("h.yml", []byte(told+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), "h.yml:"+want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestNotifyExampleIsRead holds the example of the guide to the reader.
func TestNotifyExampleIsRead(t *testing.T) {
	doc, err := os.ReadFile("../../docs/user/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if c, err := Parse("/etc/holdfast/holdfast.yml", []byte(told+example)); err != nil || c.Notify.Mail == nil || c.Notify.Ping == nil {
		t.Errorf("example: %+v, %v", c, err)
	}
}
