package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/lab/s3proxy"
	"holdfast/internal/lab/smtpsink"
)

// daySpeed is how much faster than time a day of the schedule goes.
const daySpeed = 720

// longestDay is how long it may take at most, by the clock on the wall.
const longestDay = 10 * time.Minute

// day is a day of the schedule, kept by the real daemon, with a bucket that refuses its keys until somebody was told.
type day struct {
	l     *Lab
	dir   string
	say   func(line string)
	proxy *s3proxy.Proxy
	mails *smtpsink.Server
	asked string // where the daemon answers Prometheus
	prom  string // where Prometheus answers
}

// Day lets a holdfast program keep the schedule for a day in fast motion: the bucket fails, a mail says so, it is mended, the retry
// succeeds, a mail says that too, and a real Prometheus that scrapes the daemon says how it stands. rules are Prometheus's.
func (l *Lab) Day(ctx context.Context, program, rules string, say func(line string)) error {
	ctx, cancel := context.WithTimeout(ctx, longestDay)
	defer cancel()
	d := &day{l: l, dir: l.path("day"), say: say}
	if err := errors.Join(os.RemoveAll(d.dir), os.MkdirAll(d.dir, 0o700)); err != nil { // of another day
		return err
	}
	end, err := d.surround(rules)
	defer end()
	if err != nil {
		return err
	}
	if err := d.writeConfig(); err != nil {
		return err
	}
	prometheus, err := d.start(ctx, "prometheus", false, "prometheus", "--config.file="+d.path("prometheus.yml"), "--storage.tsdb.path="+d.path("prometheus"), "--web.listen-address="+d.prom)
	if err != nil {
		return err
	}
	defer prometheus()
	began := time.Now()
	stop, err := d.start(ctx, "daemon", true, program, "-c", d.path("holdfast.yml"), "serve", fmt.Sprintf("--speed=%d", daySpeed))
	if err != nil {
		return err
	}
	defer stop()
	if err := d.watch(ctx, began); err != nil {
		return err
	}
	return d.tellNumbers(ctx)
}

func (d *day) path(name string) string { return filepath.Join(d.dir, name) }

// surround makes what stands around the daemon: a bucket that can fail, a mail server, and the configuration of Prometheus.
func (d *day) surround(rules string) (end func(), err error) {
	var closers []func() error
	end = func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	if d.proxy, err = s3proxy.Listen(d.l.Ceph.Endpoint, 1); err != nil {
		return end, err
	}
	closers = append(closers, d.proxy.Close)
	d.proxy.Refuse(func(*http.Request) s3proxy.Refusal {
		return s3proxy.Refusal{Status: http.StatusForbidden, Code: "AccessDenied"}
	})
	if d.mails, err = smtpsink.New(smtpsink.Options{User: "holdfast", Password: "of the lab"}); err != nil {
		return end, err
	}
	closers = append(closers, d.mails.Close)
	if d.asked, err = freeAddress(); err != nil {
		return end, err
	}
	if d.prom, err = freeAddress(); err != nil {
		return end, err
	}
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - {job_name: holdfast, static_configs: [{targets: [%q]}]}\n", rules, d.asked)
	return end, errors.Join(
		os.WriteFile(d.path("prometheus.yml"), []byte(text), 0o600),
		os.WriteFile(d.path("mail-ca.pem"), d.mails.CA, 0o600),
		os.WriteFile(d.path("mail-password"), []byte("of the lab"), 0o600),
	)
}

// freeAddress is one of loopback that nobody listens at now.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// writeConfig writes the lab's own configuration with the bucket behind the proxy, who is told, and the jobs of every day: the database's in an
// hour, and the configuration's half a day from now.
func (d *day) writeConfig() error {
	text, err := os.ReadFile(d.l.Config())
	if err != nil {
		return err
	}
	address, err := d.mails.Listen("")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	in := func(while time.Duration) string { return time.Now().UTC().Add(while).Format("15:04") }
	return os.WriteFile(d.path("holdfast.yml"), []byte(strings.ReplaceAll(string(text), d.l.Ceph.Endpoint, d.proxy.URL)+fmt.Sprintf(`
schedule:
  zone: UTC
  database: daily at %s
  config: daily at %s
  ceph: "off"
  cloud: "off"
  offsite: "off"
  drill: "off"
serve: {status: 12h}
metrics: {listen: %q}
notify:
  mail:
    server: 127.0.0.1
    port: %s
    ca: %s
    user: holdfast
    password: {file: %s}
    from: holdfast@lab.example
    to: [ops@lab.example]
  on: [failure, recovery]
`, in(time.Hour), in(12*time.Hour), d.asked, port, d.path("mail-ca.pem"), d.path("mail-password"))), 0o600)
}

// start runs a program until stop; what it says on stderr is told, or goes to a file beside it.
func (d *day) start(ctx context.Context, name string, tell bool, program string, args ...string) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	log, err := os.Create(d.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	var said io.ReadCloser
	if tell {
		cmd.Stderr = nil
		if said, err = cmd.StderrPipe(); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		if tell {
			for lines := bufio.NewScanner(said); lines.Scan(); {
				d.say("  " + name + ": " + lines.Text())
			}
		}
	}()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-told
		_ = cmd.Wait() // by its own end or ours
	}, nil
}

// watch shows the mails as they come, mends the bucket after the first that tells of it, and returns when a day has passed on the daemon's
// clock and everything works again.
func (d *day) watch(ctx context.Context, began time.Time) error {
	mended, recovered := false, false
	for shown := 0; ; {
		mails := d.mails.Mails()
		for _, m := range mails[shown:] {
			subject := m.Header("Subject")
			d.say("\nMAIL to " + strings.Join(m.To, ", ") + ": " + subject + "\n" + m.Part("text/plain"))
			switch {
			case !mended && strings.Contains(subject, "failed"):
				d.say("  somebody reads it, and gives the bucket its keys back")
				d.proxy.Refuse(nil)
				mended = true
			case mended && strings.Contains(subject+m.Part("text/plain"), "works again"):
				recovered = true
			}
		}
		shown = len(mails)
		if recovered && time.Since(began)*daySpeed > 24*time.Hour {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the day did not end well: told of the failure: %v, of the recovery: %v", mended, recovered)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tellNumbers asks Prometheus how it stands.
func (d *day) tellNumbers(ctx context.Context) error {
	for _, query := range []string{"backup_last_status", "backup_last_success_timestamp", "backup_storage_free_bytes"} {
		values, err := d.ask(ctx, query)
		if err != nil {
			return err
		}
		if len(values) == 0 {
			return fmt.Errorf("prometheus knows no %s", query)
		}
		for _, v := range values {
			d.say("  Prometheus: " + v)
		}
	}
	return nil
}

// ask returns the series of a query as lines.
func (d *day) ask(ctx context.Context, query string) (lines []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.prom+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("ask prometheus for %s: %w", query, err)
	}
	for _, r := range answer.Data.Result {
		of := r.Metric["source"] + r.Metric["tier"]
		lines = append(lines, fmt.Sprintf("%s of %s is %v", query, of, r.Value[1]))
	}
	slices.Sort(lines)
	return lines, nil
}
