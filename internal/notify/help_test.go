package notify

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/lab/smtpsink"
	"holdfast/internal/secret"
)

const smtpPassword = "hunter2-of-mail"

// sink starts a mail server on loopback that asks for a password.
func sink(t *testing.T, o smtpsink.Options) (*smtpsink.Server, *config.Mail) {
	t.Helper()
	s, err := smtpsink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	address, err := s.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, mailConfig(t, s, address, o)
}

func mailConfig(t *testing.T, s *smtpsink.Server, address string, o smtpsink.Options) *config.Mail {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca"), string(s.CA))
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	m := &config.Mail{Server: host, Port: n, TLS: "starttls", CA: filepath.Join(dir, "ca"), From: "holdfast@example.org", To: []string{"ops@example.org"}}
	switch {
	case o.Implicit:
		m.TLS = "implicit"
	case o.Plain:
		m.TLS = "none"
	}
	if o.User != "" {
		write(t, filepath.Join(dir, "password"), o.Password+"\n")
		m.User, m.Password = o.User, secret.Ref{File: filepath.Join(dir, "password")}
	}
	return m
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settings is a configuration that tells everything by mail.
func settings(t *testing.T, n config.Notify) *config.Config {
	t.Helper()
	if n.On == nil {
		n.On = config.News
	}
	return &config.Config{Cloud: "prod", State: t.TempDir(), Notify: n}
}

// running has a teller run until the test ends.
func running(t *testing.T, teller *Teller) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		teller.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// wait polls until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// step is what came of one step of a job; a kind makes it a failure.
func step(jobName, args, kind string, at time.Time) job.Result {
	r := job.Result{Run: jobName + at.Format("150405"), Job: jobName, Args: strings.Fields(args), Started: at, Finished: at.Add(time.Second)}
	if len(r.Args) > 1 && r.Args[0] == "backup" {
		r.Sources = r.Args[1:]
	}
	if len(r.Args) > 1 && r.Args[0] == "replicate" {
		r.Tier = r.Args[1]
	}
	if kind != "" {
		r.Exit, r.Kind, r.Error = 1, kind, "no route to ctl2"
	}
	return r
}

// cloud is an overview of a database in two tiers.
func cloud(at time.Time, broken ...coverage.Broken) coverage.Overview {
	good, old := at.Add(-time.Hour), at.Add(-30*time.Hour)
	return coverage.Overview{
		Cloud: "prod", At: at, Points: 9, Bytes: 5 << 30, Free: 70 << 30, Broken: broken,
		Tiers: []coverage.Tier{{Tier: "local", Points: 9, Free: 70 << 30, Capacity: 100 << 30}, {Tier: "s3", Points: 7, LockedUntil: &at}},
		Components: []coverage.Component{{
			Source: "mariadb", Component: "physical", Point: "20260301T020000Z", At: &good, AgeSeconds: 3600, Last: "good",
			Cover: coverage.Cover{RPOSeconds: 26 * 3600, Copies: 3, Tiers: []coverage.Copy{
				{Tier: "local", Point: "20260301T020000Z", At: &good, AgeSeconds: 3600},
				{Tier: "s3", Point: "20260228T020000Z", At: &old, AgeSeconds: 30 * 3600, Late: true},
			}},
		}},
	}
}
