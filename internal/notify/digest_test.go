package notify

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/lab/smtpsink"
)

// TestWhenADigestIsDue, over both changes of the clock.
func TestWhenADigestIsDue(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	daily := config.Digest{Every: "daily", At: 2*time.Hour + 30*time.Minute}
	weekly := config.Digest{Every: "weekly", Day: time.Friday, At: 8 * time.Hour}
	for _, c := range []struct {
		d                config.Digest
		now, before, aft string
	}{
		{daily, "2026-03-28 02:30", "2026-03-28 02:30", "2026-03-29 03:30"}, // there is no 02:30 on that day
		{daily, "2026-03-29 12:00", "2026-03-29 03:30", "2026-03-30 02:30"},
		{daily, "2026-10-25 12:00", "2026-10-25 02:30", "2026-10-26 02:30"}, // there are two
		{weekly, "2026-03-01 12:00", "2026-02-27 08:00", "2026-03-06 08:00"},
		{weekly, "2026-03-06 07:59", "2026-02-27 08:00", "2026-03-06 08:00"},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04", c.now, paris)
		if err != nil {
			t.Fatal(err)
		}
		before, after := previous(c.d, now).Format("2006-01-02 15:04"), following(c.d, now).Format("2006-01-02 15:04")
		if before != c.before || after != c.aft {
			t.Errorf("at %s: %s and %s, want %s and %s", c.now, before, after, c.before, c.aft)
		}
	}
	if at := previous(config.Digest{Every: "none"}, time.Now()); !at.IsZero() {
		t.Errorf("none is due at %s", at)
	}
}

// TestDigest: once when it is due, however long ago the last was, with what was done since; and not for a year after a clock that was
// a year ahead.
func TestDigest(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	cfg := settings(t, config.Notify{Mail: m, Digest: config.DefaultDigest})
	flush := func(at time.Time, o coverage.Overview) {
		t.Helper()
		now = at
		teller := New(cfg, func() time.Time { return now }, nil)
		teller.Overview(o)
		for range 2 {
			if err := teller.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	flush(now, cloud(now)) // begins here
	r := step("database", "backup mariadb", "", now)
	r.Read, r.New = 5<<30, 1<<20
	New(cfg, func() time.Time { return now }, nil).Result(r)
	flush(now.Add(22*time.Hour), cloud(now))
	if len(server.Mails()) != 0 {
		t.Fatalf("%d mails before it is due", len(server.Mails()))
	}
	flush(now.Add(3*24*time.Hour), cloud(now))
	if len(server.Mails()) != 1 {
		t.Fatalf("%d mails after days", len(server.Mails()))
	}
	got := server.Mails()[0]
	for _, want := range []string{"5.00 GiB", "1.00 MiB", "database backup", "mariadb physical", "1d06h LATE", "Tier s3: 7 points", "No broken promise is known"} {
		if !strings.Contains(got.Part("text/plain"), want) || !strings.Contains(got.Part("text/html"), want) {
			t.Errorf("no %q in\n%s\n%s", want, got.Part("text/plain"), got.Part("text/html"))
		}
	}
	if subject := got.Header("Subject"); subject != "[holdfast prod] digest: all promises are kept" {
		t.Errorf("subject %q", subject)
	}
	flush(now.AddDate(1, 0, 0), cloud(now))
	flush(now.AddDate(-1, 0, 0), cloud(now))
	flush(now.Add(24*time.Hour), cloud(now))
	if last := server.Mails()[len(server.Mails())-1]; strings.Contains(last.Part("text/plain"), "database backup") {
		t.Errorf("what one digest told is told by the next:\n%s", last.Part("text/plain"))
	}
	if n := len(server.Mails()); n != 3 {
		t.Errorf("%d mails, want one more for the clock ahead and one for the day after it was set back", n)
	}
}

// TestMailIsBounded: with ten thousand images, those in trouble are shown.
func TestMailIsBounded(t *testing.T) {
	teller, _, _ := quiet(t)
	o := cloud(t0)
	x := o.Components[0]
	for i := range 10000 {
		x.Source, x.Component, x.Reason, x.Last = "rbd", fmt.Sprintf("volumes/volume-%05d", i), "", "good"
		x.Tiers = []coverage.Copy{{Tier: "local", Point: "p", Late: i == 9876}, {Tier: "s3", Point: "p"}}
		o.Components = append(o.Components, x)
	}
	teller.Overview(o)
	r := step("database", "backup mariadb", "failed", t0)
	r.Error = strings.Repeat("very ", 100000)
	teller.Result(r)
	if st, err := os.Stat(stateFile(teller.dir)); err != nil || st.Size() > 20<<10 {
		t.Errorf("the state has %d bytes, %v", st.Size(), err)
	}
	m := teller.compose(box{News: []item{{Kind: digest, Key: digest}}}, nil)
	if len(m.Text) > 20<<10 || len(m.HTML) > 40<<10 || !strings.Contains(m.Text, "volume-09876") || !strings.Contains(m.Text, "and 9961 more components") {
		t.Errorf("%d and %d bytes:\n%.3000s", len(m.Text), len(m.HTML), m.Text)
	}
}

// TestOneMailForARun: what steps of one run tell at about the same time shares a mail.
func TestOneMailForARun(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	teller := New(settings(t, config.Notify{Mail: m}), time.Now, nil)
	running(t, teller)
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	teller.Result(step("database", "replicate s3", "failed", time.Now()))
	teller.Overview(cloud(time.Now(), coverage.Broken{Promise: "copies", Text: "fewer than 3 copies"}))
	wait(t, "the mail", func() bool { return len(server.Mails()) > 0 && teller.Status()[0].Pending == 0 })
	if got := server.Mails(); len(got) != 1 || got[0].Header("Subject") != "[holdfast prod] 2 failures, 1 broken promise" {
		t.Errorf("%d mails, %q", len(got), got[0].Header("Subject"))
	}
}
