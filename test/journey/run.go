package journey

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/event"
)

// patience is how long a test waits for something that it has set in motion, on a machine that is busy with others.
const patience = 3 * time.Minute

// Run is a command on its way, with --json, so that its events can be followed.
type Run struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout bytes.Buffer
	events eventLog
	ended  chan struct{}
}

// Start starts a command line with --json. The test waits for its end, at the latest when it is over itself.
func (o *Operator) Start(args ...string) *Run {
	o.t.Helper()
	r := &Run{t: o.t, cmd: o.Command(append(args, "--json")...), ended: make(chan struct{})}
	r.events.news = make(chan struct{}, 1)
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.WaitDelay = &r.stdout, &r.events, 10*time.Second
	if err := r.cmd.Start(); err != nil {
		o.t.Fatalf("start holdfast: %v", err)
	}
	go func() {
		_ = r.cmd.Wait() // its end is in ProcessState
		close(r.ended)
	}()
	o.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
	return r
}

// PID is the command's process number.
func (r *Run) PID() int { return r.cmd.Process.Pid }

// Kill ends the command with SIGKILL, waits for its end, and returns the processes that it had started by then. It
// reports false when the command had ended before.
func (r *Run) Kill() ([]Process, bool) {
	// Stopped first, so that the list of its children is complete.
	_ = r.cmd.Process.Signal(syscall.SIGSTOP)
	children := Descendants(r.PID())
	_ = r.cmd.Process.Kill()
	<-r.ended
	return children, r.cmd.ProcessState.ExitCode() == -1
}

// Interrupt sends what ctrl-C sends.
func (r *Run) Interrupt() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatalf("interrupt holdfast: %v", err)
	}
}

// Ended is closed when the command is over.
func (r *Run) Ended() <-chan struct{} { return r.ended }

// Wait returns how the command ended.
func (r *Run) Wait() Result {
	<-r.ended
	return Result{r.cmd.ProcessState.ExitCode(), r.stdout.String(), r.events.text()}
}

// Events are those that the command has told so far.
func (r *Run) Events() []event.Event { return r.events.list() }

// Await returns the first event that fits. It reports false when the command ends without one.
func (r *Run) Await(fits func(event.Event) bool) (event.Event, bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		over := false
		select {
		case <-r.ended:
			over = true
		default:
		}
		if list := r.Events(); slices.ContainsFunc(list, fits) {
			return list[slices.IndexFunc(list, fits)], true
		}
		if over {
			return event.Event{}, false
		}
		select {
		case <-r.ended:
		case <-r.events.news:
		case <-deadline:
			r.t.Fatalf("holdfast did not get there in %v; it said:\n%s", patience, r.events.text())
		}
	}
}

// eventLog takes the lines of stderr.
type eventLog struct {
	news chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
}

func (l *eventLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	select {
	case l.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *eventLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *eventLog) list() []event.Event {
	var events []event.Event
	for line := range strings.Lines(l.text()) {
		var e event.Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind != "" {
			events = append(events, e)
		}
	}
	return events
}
