package daemon_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/config"
)

// tells is the end of a holdfast.yml by which the daemon answers Prometheus at an address and mails to somebody.
func tells(asked string, m *config.Mail, to, on string) string {
	return fmt.Sprintf("metrics: {listen: %q}\nnotify:\n  on: [%s]\n  mail: {server: %s, port: %d, ca: %s, user: hf, password: {file: %s}, from: holdfast@example.org, to: [%s]}\n",
		asked, on, m.Server, m.Port, m.CA, m.Password.File, to)
}

// scrape asks what Prometheus asks at an address; "" is no answer.
func scrape(address string) string {
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return ""
	}
	return string(text)
}

// TestTellersMove: after a reload, mail goes to who is named now, and Prometheus is answered where it asks now and there alone. A file that
// is refused leaves both as they were.
func TestTellersMove(t *testing.T) {
	s := newSite(t)
	inbox, mail := mailServer(t, s.dir)
	before, after := free(t), free(t)
	s.configure(usual + tells(before, mail, "first@example.org", "failure, recovery"))
	d := s.starts()
	s.await("Prometheus is answered", func() bool { return scrape(before) != "" })
	moved := func() bool { return scrape(after) != "" && scrape(before) == "" }

	s.configure(usual + tells(after, mail, "second@example.org", "failure, recovery"))
	d.Process.Signal(syscall.SIGHUP)
	s.await("Prometheus is answered at the new address, and at the old one no more", moved)
	s.write("hosts", "[control\n")
	s.asks("config")
	if m := inbox.find(t, "[holdfast lab] failed: backup kolla"); !slices.Equal(m.To, []string{"second@example.org"}) {
		t.Errorf("mailed to %q", m.To)
	}

	s.configure(usual + tells(before, mail, "third@example.org", "failure, recovery") + "serve: {socket: elsewhere}\n")
	d.Process.Signal(syscall.SIGHUP)
	s.await("the trouble is told", func() bool { return len(s.queueOf(d)) == 1 })
	if !moved() {
		t.Error("Prometheus is not answered where it was before the file that is refused")
	}
	s.write("hosts", inventory)
	s.asks("config")
	if m := inbox.find(t, "[holdfast lab] works again: backup kolla"); !slices.Equal(m.To, []string{"second@example.org"}) {
		t.Errorf("mailed to %q", m.To)
	}
	if text := scrape(after); !strings.Contains(text, `holdfast_run_status{job="config",step="backup",tier=""} 1`) {
		t.Errorf("Prometheus is told:\n%s", text)
	}
}

// TestBlindFromTheBeginning: a daemon whose looks have never seen anything tells so at once, by mail, to Prometheus, and to who types status,
// for whom it is no overview.
func TestBlindFromTheBeginning(t *testing.T) {
	s := newSite(t)
	inbox, mail := mailServer(t, s.dir)
	asked := free(t)
	s.configure(usual + tells(asked, mail, "ops@example.org", "promise"))
	s.write("local.pass", "wrong")
	s.write("disk.pass", "wrong")
	s.starts()
	text := inbox.find(t, "[holdfast lab] 3 broken promises").Part("text/plain")
	for _, want := range []string{"tier local can be opened", "tier disk can be opened", "the daemon's status is in order"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail says nothing of %q:\n%s", want, text)
		}
	}
	numbers := scrape(asked)
	if !strings.Contains(numbers, `holdfast_tier_up{tier="local"} 0`) || strings.Contains(numbers, "holdfast_overview_timestamp_seconds ") {
		t.Errorf("Prometheus is told:\n%s", numbers)
	}
	out := s.does(5, "status")
	for _, want := range []string{"what is protected cannot be told", "nothing runs and nothing waits", "daily at 03:00"} {
		if !strings.Contains(out, want) {
			t.Errorf("status says nothing of %q:\n%s", want, out)
		}
	}
	if out, err := s.command("status", "--json").Output(); s.exit(err) != 5 || len(out) > 0 {
		t.Errorf("as JSON it ends with %v and\n%s", err, out)
	}
}
