package serve

import (
	"context"
	"net"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCommandsWaitForTheBeginning: who asks before the daemon works is answered once it does.
func TestCommandsWaitForTheBeginning(t *testing.T) {
	w := newWorld(t, strings.Replace(twoTiers, "cloud: off", "cloud: off, config: {when: daily 03:00, then: false}, database: off", 1))
	w.takes = 10 * time.Millisecond
	d, err := New(w.dir, Options{Load: w.load, Runner: w, Now: w.now, Say: w.say, Notify: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go d.Serve(t.Context(), early{l, t, d})
	client, err := Connect(socket)
	if err != nil {
		t.Fatal(err)
	}
	asked, ended := make(chan struct{}), make(chan error, 1)
	asks := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(asked) }})
	go func() { _, err := client.Run(asks, "config"); ended <- err }()
	<-asked // it waits in the socket: nobody takes it before the daemon works
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan struct{})
	go func() { defer close(worked); d.Work(ctx) }()
	defer func() { stop(); <-worked }()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	until(t, "the run is told as ended", func() bool { return len(viewOf(d).Runs) == 0 })
}

// early is red when somebody is let in before the daemon works.
type early struct {
	net.Listener
	t *testing.T
	d *Daemon
}

func (l early) Accept() (net.Conn, error) {
	select {
	case <-l.d.begun:
	default:
		l.t.Error("somebody is let in before the daemon works")
	}
	return l.Listener.Accept()
}

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
