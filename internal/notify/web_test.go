package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/secret"
)

// site keeps what it is asked, and fails as often as it is told to.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
	texts []string
	fail  int
}

func newSite(t *testing.T) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fail > 0 {
			s.fail--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.asked, s.texts = append(s.asked, r), append(s.texts, string(text))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) paths() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		all = append(all, r.URL.Path)
	}
	return all
}

// TestWebhookIsSigned: what is posted says what the mail says, its signature covers body and time, and a server that fails is tried again.
func TestWebhookIsSigned(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	write(t, filepath.Join(dir, "key"), "hunter2-of-hook\n")
	write(t, filepath.Join(dir, "url"), s.URL+"/hook/hunter2-of-url\n")
	teller := New(settings(t, config.Notify{Webhook: &config.Webhook{URL: config.Address{Ref: secret.Ref{File: filepath.Join(dir, "url")}}, Secret: secret.Ref{File: filepath.Join(dir, "key")}}}), time.Now, nil)
	s.fail = 1
	teller.Overview(cloud(time.Now()))
	teller.Result(step("database", "backup mariadb", "damage", time.Now()))
	if err := teller.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "503") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if err := teller.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.paths(); !slices.Equal(got, []string{"/hook/hunter2-of-url"}) {
		t.Fatalf("asked for %q", got)
	}
	seconds, signature, _ := strings.Cut(strings.TrimPrefix(s.asked[0].Header.Get("X-Holdfast-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte("hunter2-of-hook"))
	mac.Write([]byte(seconds + "." + s.texts[0]))
	if signature != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %s", s.asked[0].Header.Get("X-Holdfast-Signature"))
	}
	var body struct {
		ID, Cloud, Subject, Text string
		News                     []struct {
			Kind, Title, Step, Problem, Next string
			Sources, Risk                    []string
		}
	}
	if err := json.Unmarshal([]byte(s.texts[0]), &body); err != nil {
		t.Fatal(err)
	}
	if len(body.News) != 1 || body.ID != s.asked[0].Header.Get("X-Holdfast-Delivery") || body.Cloud != "prod" || !strings.Contains(body.Text, "no route to ctl2") {
		t.Fatalf("got %s", s.texts[0])
	}
	if n := body.News[0]; n.Kind != "failure" || n.Step != "backup" || n.Problem != "damage" || n.Next != "holdfast backup mariadb" || len(n.Risk) != 1 || n.Sources[0] != "mariadb" {
		t.Errorf("got %+v", n)
	}
}

// TestPings: a job of its own address and one of all, which begin, end well and fail.
func TestPings(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	write(t, filepath.Join(dir, "url"), s.URL+"/ping/all?x=1\n")
	p := &config.Ping{URL: config.Address{Ref: secret.Ref{File: filepath.Join(dir, "url")}}, Jobs: map[string]config.Address{"images": {Plain: s.URL + "/ping/images/"}}}
	teller := New(settings(t, config.Notify{Ping: p}), time.Now, nil)
	running(t, teller)
	asked := func(n int) { wait(t, "pings", func() bool { return len(s.paths()) == n }) }
	teller.Begin("database", "r1")
	asked(1)
	teller.Result(step("database", "backup mariadb", "", time.Now()))
	teller.End("database", "r1")
	asked(2)
	teller.Begin("images", "r2")
	asked(3)
	r := step("images", "backup rbd", "failed", time.Now())
	r.Run = "r2"
	r.Error = "mysql://root:hunter2@ctl1 does not answer"
	teller.Result(r)
	teller.End("images", "r2")
	asked(4)
	if got := s.paths(); !slices.Equal(got, []string{"/ping/all/start", "/ping/all", "/ping/images/start", "/ping/images/fail"}) {
		t.Errorf("asked for %q", got)
	}
	if got := s.texts[3]; got != "backup rbd: mysql://[redacted]@ctl1 does not answer" || s.asked[1].URL.RawQuery != "x=1" {
		t.Errorf("said %q", got)
	}
	wait(t, "count", func() bool { return teller.Status()[0].Delivered == 4 })
}

// TestPingIsTriedAgain, and what it would say is replaced by what is so by then.
func TestPingIsTriedAgain(t *testing.T) {
	s := newSite(t)
	teller := New(settings(t, config.Notify{Ping: &config.Ping{URL: config.Address{Plain: s.URL + "/p"}}}), time.Now, nil)
	s.fail = 1
	teller.Begin("database", "r1")
	if err := teller.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	teller.End("database", "r1")
	if err := teller.Flush(t.Context()); err != nil || !slices.Equal(s.paths(), []string{"/p"}) {
		t.Errorf("%v, asked for %q", err, s.paths())
	}
}
