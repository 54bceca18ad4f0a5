// Package daemon_test runs the real daemon as a process, and treats it badly.
package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/cli"
	"holdfast/internal/job"
	"holdfast/internal/serve"
	"holdfast/test/journey"
)

// TestMain makes this program holdfast, for the daemon, its steps and an operator's commands.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_HOLDFAST") != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		os.Exit(cli.Main(ctx, os.Args[1:], cli.SystemEnv()))
	}
	os.Exit(m.Run())
}

// site is a host whose own configuration is backed up to two tiers.
type site struct {
	t   *testing.T
	dir string
	log *bytes.Buffer // of the newest daemon
}

const inventory = "[control]\n[network]\n[all]\nlocalhost ansible_connection=local\n"

const usual = "schedule:\n  zone: UTC\n"

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	t.Cleanup(s.quiet)
	s.write("kolla/globals.yml", "kolla_internal_fqdn: x\n")
	s.write("kolla/passwords.yml", "a: b\n")
	s.write("hosts", inventory)
	s.configure(usual)
	s.does(0, "init", "--yes")
	return s
}

// quiet waits until no process works in the site any more: the steps of a daemon that was killed end soon after it.
func (s *site) quiet() {
	s.await("every process of the site has ended", func() bool {
		return !slices.ContainsFunc(journey.All(), func(p journey.Process) bool {
			return strings.Contains(strings.Join(p.Args, " "), s.dir)
		})
	})
}

func (s *site) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes holdfast.yml, which ends with more.
func (s *site) configure(more string) {
	s.t.Helper()
	s.write("holdfast.yml", `cloud: lab
state: state
tiers:
  - {name: local, url: "file:local", passphrase: {file: local.pass}, keep: 7d}
  - {name: disk, url: "file:disk", passphrase: {file: disk.pass}, keep: 7d, retry: {after: 2s, most: 2s}}
kolla: {inventory: hosts, config: kolla}
`+more)
}

// command is a command line of holdfast, as another process.
func (s *site) command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], append([]string{"-c", filepath.Join(s.dir, "holdfast.yml")}, args...)...)
	c.Env = append(os.Environ(), "TEST_HOLDFAST=1")
	return c
}

// does runs a command, demands its exit code and returns all that it says.
func (s *site) does(exit int, args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if got := s.exit(err); got != exit {
		s.t.Fatalf("holdfast %s: exit %d, want %d\n%s\nthe daemon: %s", strings.Join(args, " "), got, exit, out, s.log)
	}
	return string(out)
}

func (s *site) exit(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	s.t.Fatal(err)
	return -1
}

// daemon is a daemon under way.
type daemon struct {
	*exec.Cmd
	site  *site
	ended chan struct{}
	err   error
}

// starts starts a daemon and waits until it answers.
func (s *site) starts(wrap ...string) *daemon {
	s.t.Helper()
	c := s.command("serve")
	if len(wrap) > 0 {
		wrapped := exec.Command(wrap[0], append(wrap[1:], c.Args...)...)
		wrapped.Env = c.Env
		c = wrapped
	}
	s.log = &bytes.Buffer{}
	c.Stderr = s.log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	d := &daemon{Cmd: c, site: s, ended: make(chan struct{})}
	go func() { d.err = c.Wait(); close(d.ended) }()
	s.t.Cleanup(func() { d.kills(syscall.SIGKILL) })
	s.await("the daemon answers", func() bool {
		// A step that the one before was about to start when it was killed may hold its socket for a moment yet.
		client, err := serve.Connect(s.socket())
		if err != nil {
			return false
		}
		q, err := client.Queue(s.t.Context())
		return err == nil && (len(wrap) > 0 || q.PID == c.Process.Pid)
	})
	return d
}

// kills sends a signal and waits for the daemon's end.
func (d *daemon) kills(how syscall.Signal) {
	d.site.t.Helper()
	d.Process.Signal(how)
	select {
	case <-d.ended:
	case <-time.After(100 * time.Second):
		d.site.t.Errorf("the daemon does not end by %s", how)
		d.Process.Kill()
		<-d.ended
	}
}

func (s *site) socket() string { return filepath.Join(s.dir, "state/serve/socket") }

// await polls until something is so.
func (s *site) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(100 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("it is never so that %s\nthe daemon: %s", what, s.log)
		}
	}
}

func (s *site) client() *serve.Client {
	s.t.Helper()
	c, err := serve.Connect(s.socket())
	if err != nil {
		s.t.Fatalf("%v\nthe daemon: %s", err, s.log)
	}
	return c
}

func (s *site) queue() serve.Queue {
	s.t.Helper()
	q, err := s.client().Queue(s.t.Context())
	if err != nil {
		s.t.Fatalf("%v\nthe daemon: %s", err, s.log)
	}
	return q
}

func (s *site) results() []job.Result {
	s.t.Helper()
	all, err := s.client().Results(s.t.Context(), 100)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// good counts the steps of a run that were done, by what they are.
func (s *site) good(run string) (steps []string) {
	for _, r := range s.results() {
		if r.Run == run && r.Good() {
			steps = append(steps, r.Step()+" "+r.Tier)
		}
	}
	return steps
}

// idle waits until nothing runs.
func (s *site) idle() {
	s.t.Helper()
	s.await("nothing runs", func() bool { return len(s.queue().Runs) == 0 })
}

// asks has the daemon do a job now.
func (s *site) asks(name string) string {
	s.t.Helper()
	run, err := s.client().Run(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

// chain is what the job config does.
var chain = []string{"backup ", "verify local", "replicate disk", "verify disk", "prune local", "prune disk"}

// points are how many points a tier holds.
func (s *site) points(tier string) int {
	s.t.Helper()
	var all []json.RawMessage
	out, err := s.command("points", "--tier", tier, "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil {
		s.t.Fatalf("points: %v\n%s", err, out)
	}
	return len(all)
}

func (s *site) whole(run string) {
	s.t.Helper()
	got := s.good(run)
	for _, step := range chain {
		if !slices.Contains(got, step) {
			s.t.Errorf("%q is missing of %q", step, got)
		}
	}
	if s.t.Failed() {
		fmt.Println(s.log)
	}
}

// slow starts a backup that goes on until fast is called.
func (s *site) slow() *exec.Cmd { return s.slowly("backup", "kolla") }

// slowly starts a command that backs up, which goes on until fast is called: its inventory is a program that waits.
func (s *site) slowly(args ...string) *exec.Cmd {
	s.t.Helper()
	s.write("hosts", "#!/bin/sh\ntouch "+s.dir+"/slow\nwhile [ -e "+s.dir+"/slow ]; do sleep 0.1; done\necho '{\"all\": {\"hosts\": [\"localhost\"]}, \"_meta\": {\"hostvars\": {\"localhost\": {\"ansible_connection\": \"local\"}}}}'\n")
	if err := os.Chmod(filepath.Join(s.dir, "hosts"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	c := s.command(args...)
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Process.Kill() })
	s.await("the slow backup works", func() bool { _, err := os.Stat(filepath.Join(s.dir, "slow")); return err == nil })
	return c
}

func (s *site) fast() {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "slow")); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(s.dir, "hosts"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.write("hosts", inventory)
}
