package notify

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/lab/smtpsink"
	"holdfast/internal/secret"
)

// TestFailureIsMailed: a failing step is a mail within seconds, over an encrypted connection and with the account's name, that says
// what happened, what is at risk and what to do.
func TestFailureIsMailed(t *testing.T) {
	server, m := sink(t, smtpsink.Options{User: "hf", Password: smtpPassword})
	teller := New(settings(t, config.Notify{Mail: m}), time.Now, nil)
	running(t, teller)
	now := time.Now()
	teller.Overview(cloud(now))
	began := time.Now()
	r := step("database", "replicate s3", "unreachable", now)
	r.Hint, r.Again, r.Sources = "check the network to s3", now.Add(time.Hour), []string{"mariadb"}
	teller.Result(r)
	wait(t, "the mail", func() bool { return len(server.Mails()) == 1 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the mail took %s", took)
	}
	got := server.Mails()[0]
	if !got.TLS || got.User != "hf" || got.To[0] != "ops@example.org" || got.Header("Subject") != "[holdfast prod] failed: replicate s3" {
		t.Errorf("got %+v, %q", got, got.Header("Subject"))
	}
	for _, kind := range []string{"text/plain", "text/html"} {
		text := got.Part(kind)
		for _, want := range []string{
			"no route to ctl2", "tried again by itself at", "mariadb in tier s3 is up to 1d06h old, more than was promised (1d02h)",
			"check the network to s3, then: holdfast replicate s3", "job database", "cloud prod",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", kind, want, text)
			}
		}
		if strings.Contains(text, smtpPassword) {
			t.Errorf("%s tells the password", kind)
		}
	}
}

// TestMailServers: TLS from the first byte, none on this host, and what must not be sent to.
func TestMailServers(t *testing.T) {
	for name, c := range map[string]struct {
		server smtpsink.Options
		change func(*config.Mail)
		want   string // in the error, "" for delivery
	}{
		"implicit":               {smtpsink.Options{Implicit: true, User: "hf", Password: smtpPassword}, nil, ""},
		"none":                   {smtpsink.Options{Plain: true}, nil, ""},
		"none with a password":   {smtpsink.Options{Plain: true, User: "hf", Password: smtpPassword}, nil, ""},
		"no STARTTLS":            {smtpsink.Options{Plain: true}, func(m *config.Mail) { m.TLS = "starttls" }, "STARTTLS"},
		"unknown certificate":    {smtpsink.Options{}, func(m *config.Mail) { m.CA = "" }, "certificate"},
		"wrong password":         {smtpsink.Options{User: "hf", Password: smtpPassword}, func(m *config.Mail) { m.Password = secret.Ref{Command: "echo wrong-hunter2"} }, "535"},
		"no password to be had":  {smtpsink.Options{}, func(m *config.Mail) { m.User, m.Password = "hf", secret.Ref{File: "/none"} }, "password of the mail server"},
		"password not asked for": {smtpsink.Options{}, func(m *config.Mail) { m.User, m.Password = "hf", secret.Ref{Command: "echo hunter2"} }, "AUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			server, m := sink(t, c.server)
			if c.change != nil {
				c.change(m)
			}
			got := New(settings(t, config.Notify{Mail: m}), time.Now, nil).Test(t.Context())
			if len(got) != 1 || got[0].Way != "mail:ops@example.org" || strings.Contains(got[0].Error, "hunter2") {
				t.Fatalf("got %+v", got)
			}
			if c.want == "" && (got[0].Error != "" || len(server.Mails()) != 1) {
				t.Errorf("not delivered: %+v", got)
			}
			if c.want != "" && (!strings.Contains(got[0].Error, c.want) || got[0].Hint == "" || len(server.Mails()) > 0) {
				t.Errorf("want %q, got %+v and %d mails", c.want, got, len(server.Mails()))
			}
		})
	}
}

// TestOneRecipientIsRefused: the others get theirs once.
func TestOneRecipientIsRefused(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	m.To = []string{"gone@example.org", "ops@example.org"}
	server.Refuse(func(verb, argument string) string {
		if verb == "RCPT" && strings.Contains(argument, "gone@") {
			return "550 nobody here"
		}
		return ""
	})
	teller := New(settings(t, config.Notify{Mail: m}), time.Now, nil)
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	for range 2 {
		if err := teller.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "mail:gone@example.org") || !strings.Contains(err.Error(), "550") {
			t.Errorf("got %v", err)
		}
	}
	if got := server.Mails(); len(got) != 1 || got[0].To[0] != "ops@example.org" {
		t.Errorf("got %+v", got)
	}
	all := teller.Status()
	if len(all) != 2 || all[0].Pending != 1 || all[0].Failures != 2 || all[1].Delivered != 1 || all[1].Error != "" {
		t.Errorf("status %+v", all)
	}
}
