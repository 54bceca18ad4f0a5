package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/lab/smtpsink"
)

// line is the way to a mail server, which can be down.
type line struct {
	server *smtpsink.Server
	up     atomic.Bool
	tries  atomic.Int64
}

// start runs a teller that reaches the server over it.
func (l *line) start(ctx context.Context, cfg *config.Config) *Teller {
	teller := New(cfg, time.Now, nil)
	teller.dial = func(context.Context, string, string) (net.Conn, error) {
		if l.tries.Add(1); !l.up.Load() {
			return nil, errors.New("connection refused")
		}
		near, far := net.Pipe()
		go l.server.Serve(far)
		return near, nil
	}
	teller.Overview(cloud(time.Now()))
	go teller.Run(ctx)
	return teller
}

// TestServerDownForADay, in virtual time: every hour something fails, and one thing recovers. When the server is back there is one
// mail that tells all of it, soon; then nothing more.
func TestServerDownForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := smtpsink.New(smtpsink.Options{User: "hf", Password: smtpPassword})
		if err != nil {
			t.Fatal(err)
		}
		cfg := settings(t, config.Notify{Mail: mailConfig(t, server, "127.0.0.1:25", smtpsink.Options{User: "hf", Password: smtpPassword}), Digest: config.DefaultDigest})
		line := &line{server: server}
		ctx, stop := context.WithCancel(t.Context())
		teller := line.start(ctx, cfg)
		began := time.Now()
		for hour := range 24 {
			teller.Result(step(fmt.Sprintf("job%d", hour%6), "backup mariadb", "failed", time.Now()))
			time.Sleep(time.Hour)
			if hour == 12 { // the daemon is started anew
				stop()
				synctest.Wait()
				ctx, stop = context.WithCancel(t.Context())
				teller = line.start(ctx, cfg)
			}
		}
		teller.Result(step("job3", "backup mariadb", "", time.Now()))
		if n := line.tries.Load(); n < 100 || n > 24*60/4 {
			t.Errorf("%d tries in a day", n)
		}
		if s := teller.Status(); s[0].Error == "" || s[0].Pending < 7 || s[0].Since.Sub(began) > time.Minute {
			t.Errorf("while it is down: %+v", s)
		}
		line.up.Store(true)
		time.Sleep(mostWait + time.Minute)
		synctest.Wait()
		if len(server.Mails()) != 1 {
			t.Fatalf("%d mails: %+v", len(server.Mails()), teller.Status())
		}
		tellsTheDay(t, server.Mails()[0].Part("text/plain"))
		time.Sleep(time.Hour)
		if s := teller.Status(); len(server.Mails()) != 1 || s[0].Pending != 0 || s[0].Error != "" || s[0].Delivered != 1 {
			t.Errorf("afterwards: %d mails, %+v", len(server.Mails()), s)
		}
		stop()
		synctest.Wait()
	})
}

// tellsTheDay looks for all that happened in a mail.
func tellsTheDay(t *testing.T, text string) {
	t.Helper()
	for job := range 6 {
		if !strings.Contains(text, fmt.Sprintf("job job%d", job)) {
			t.Errorf("job%d is lost in\n%s", job, text)
		}
	}
	for _, want := range []string{"Nothing could be sent here for 1d00h", "works again: backup mariadb", "COMPONENT", "Done since the last digest"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestDoubtfulDelivery: a connection that breaks after the text went out leaves it open whether the mail was taken. It is sent again,
// under the same name and with nothing added; what is new comes after it.
func TestDoubtfulDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := smtpsink.New(smtpsink.Options{})
		if err != nil {
			t.Fatal(err)
		}
		teller := New(settings(t, config.Notify{Mail: mailConfig(t, server, "127.0.0.1:25", smtpsink.Options{})}), time.Now, nil)
		var far net.Conn
		teller.dial = func(context.Context, string, string) (net.Conn, error) {
			near, other := net.Pipe()
			far = other
			go server.Serve(other)
			return near, nil
		}
		server.After(func(smtpsink.Mail) { far.Close() })
		ctx, stop := context.WithCancel(t.Context())
		go teller.Run(ctx)
		teller.Result(step("database", "backup mariadb", "failed", time.Now()))
		time.Sleep(4 * time.Second)
		teller.Result(step("config", "backup kolla", "failed", time.Now()))
		server.After(nil)
		time.Sleep(time.Minute)
		all := server.Mails()
		if len(all) != 3 || all[0].Header("Message-ID") != all[1].Header("Message-ID") || all[0].Part("text/plain") != all[1].Part("text/plain") {
			t.Fatalf("%d mails", len(all))
		}
		if id := all[2].Header("Message-ID"); id == all[0].Header("Message-ID") || strings.Contains(all[2].Part("text/plain"), "mariadb:") || !strings.Contains(all[2].Header("Subject"), "backup kolla") {
			t.Errorf("what came later: %s, %s", id, all[2].Header("Subject"))
		}
		stop()
		synctest.Wait()
	})
}

// TestKilled kills a process of its own as it sends: before the server has the mail, and after, before that was noted. The next one
// loses nothing, and what comes twice has the same name.
func TestKilled(t *testing.T) {
	if os.Getenv("NOTIFY_STATE") != "" {
		killed(t)
		return
	}
	for name, c := range map[string]struct {
		verb string // at which it is killed
		want int    // mails in the end
	}{"before": {"DATA", 1}, "after": {"", 2}} {
		t.Run(name, func(t *testing.T) {
			server, m := sink(t, smtpsink.Options{})
			cfg := settings(t, config.Notify{Mail: m})
			killOne(t, server, cfg, c.verb)
			again := New(cfg, time.Now, nil)
			if err := again.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := server.Mails()
			if len(all) != c.want || !strings.Contains(all[len(all)-1].Header("Subject"), "failed: backup mariadb") {
				t.Fatalf("%d mails, want %d", len(all), c.want)
			}
			if all[0].Header("Message-ID") != all[len(all)-1].Header("Message-ID") {
				t.Error("the same mail has two names")
			}
			if s := again.Status(); s[0].Pending != 0 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// killOne has another process send, and kills it at a command, or, at none, when the server has the mail.
func killOne(t *testing.T, server *smtpsink.Server, cfg *config.Config, at string) {
	t.Helper()
	m := cfg.Notify.Mail
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
	cmd.Env = append(os.Environ(), "NOTIFY_STATE="+cfg.State, "NOTIFY_CA="+m.CA, fmt.Sprint("NOTIFY_PORT=", m.Port))
	kill := func() { cmd.Process.Kill(); cmd.Process.Wait() }
	server.Refuse(func(verb, _ string) string {
		if verb == at {
			kill()
		}
		return ""
	})
	if at == "" {
		server.After(func(smtpsink.Mail) { kill() })
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(bufio.NewReader(out))
	if strings.Contains(string(said), "sent") {
		t.Fatalf("it was not killed: %s", said)
	}
	server.Refuse(nil)
	server.After(nil)
}

// killed is the process that is.
func killed(t *testing.T) {
	var port int
	if _, err := fmt.Sscan(os.Getenv("NOTIFY_PORT"), &port); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Cloud: "prod", State: os.Getenv("NOTIFY_STATE"), Notify: config.Notify{
		On: config.News, Mail: &config.Mail{Server: "127.0.0.1", Port: port, TLS: "starttls", CA: os.Getenv("NOTIFY_CA"), From: "holdfast@example.org", To: []string{"ops@example.org"}},
	}}
	teller := New(cfg, time.Now, nil)
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	fmt.Println(teller.Flush(t.Context()), "sent")
}
