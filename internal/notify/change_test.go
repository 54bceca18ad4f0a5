package notify

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/lab/smtpsink"
)

// TestRecipientsChange: what could not be told to one who is no recipient any more is told to the one in his place, and a configuration
// that is only looked at changes nothing.
func TestRecipientsChange(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	server.Refuse(func(verb, argument string) string {
		if verb == "RCPT" && strings.Contains(argument, "ops@") {
			return "550 nobody here"
		}
		return ""
	})
	cfg := settings(t, config.Notify{Mail: m})
	teller := New(cfg, time.Now, nil)
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	if err := teller.Flush(t.Context()); err == nil {
		t.Error("it was taken")
	}
	next, other := *cfg, *m
	other.To = []string{"mended@example.org"}
	next.Notify.Mail = &other
	mended := New(&next, time.Now, nil)
	if all := teller.Status(); len(all) != 2 || all[1].Pending != 1 {
		t.Errorf("status %+v", all)
	}
	if err := mended.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := server.Mails(); len(got) != 1 || got[0].To[0] != "mended@example.org" || !strings.Contains(got[0].Header("Subject"), "failed: backup mariadb") {
		t.Errorf("got %+v", got)
	}
}

// TestPingOverARestart: a run whose first step failed before a reload, or a death, has failed; one whose step was cut off and then done
// has not.
func TestPingOverARestart(t *testing.T) {
	s := newSite(t)
	cfg := settings(t, config.Notify{Ping: &config.Ping{URL: config.Address{Plain: s.URL + "/p"}}})
	for _, c := range []struct{ first, second, kind, want string }{
		{"failed", "prune local", "", "/p/fail"}, {"interrupted", "backup kolla", "", "/p"}, {"interrupted", "backup kolla", "failed", "/p/fail"},
	} {
		now := time.Now()
		New(cfg, time.Now, nil).Result(step("config", "backup kolla", c.first, now))
		again := New(cfg, time.Now, nil)
		again.Begin("config", step("config", "backup kolla", "", now).Run)
		again.Result(step("config", c.second, c.kind, now))
		again.End("config", step("config", "backup kolla", "", now).Run)
		if err := again.Flush(t.Context()); err != nil || !slices.Equal(s.paths(), []string{c.want}) {
			t.Errorf("%+v: %v, asked for %q", c, err, s.paths())
		}
		s.asked = nil
	}
}

// TestStopDoesNotWait for a mail server that has the mail and does not say so.
func TestStopDoesNotWait(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	reached, hang := make(chan bool, 1), make(chan bool)
	server.After(func(smtpsink.Mail) { reached <- true; <-hang })
	defer close(hang)
	teller := New(settings(t, config.Notify{Mail: m}), time.Now, nil)
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); teller.Run(ctx) }()
	<-reached
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
	if s := teller.Status()[0]; s.Pending != 1 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}
