package job

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/event"
)

// EnvRun, in the environment of a step, is the run that it belongs to: its turn was had for it already.
const EnvRun = "HOLDFAST_RUN"

// EnvJob, in the environment of a step, is the job that it belongs to.
const EnvJob = "HOLDFAST_JOB"

// EnvConfig, in the environment of a step, is a file with what the configuration was when it was taken over; the one that it came
// from may be broken by now.
const EnvConfig = "HOLDFAST_CONFIG_TAKEN"

// Runner does steps as processes of this program.
type Runner struct {
	Program string        // the binary; "" is the one that runs
	Args    []string      // before those of a step, such as -c FILE
	Env     []string      // beside this process's own
	Grace   time.Duration // that a step has to clean up when it is stopped
	Kind    func(exit int) string
	Now     func() time.Time
}

// Process is a step under way, as it is remembered over the death of who started it.
type Process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // as the kernel tells it, so that no other process is taken for it
}

// Watch are what is told of a step while it goes on. Both may be nil.
type Watch struct {
	Began func(Process)
	Event event.Listener
}

// Run does a step and tells what came of it. What it printed as JSON goes to out, if that is not nil. The result is complete but for
// Run, Job, Due, Try and Again. When ctx ends the step is asked to clean up, and killed after the grace.
func (r Runner) Run(ctx context.Context, s Step, out io.Writer, w Watch) Result {
	res := Result{Args: s.Args, Sources: s.Sources(), Started: r.Now().UTC()}
	if t := s.Tiers(); len(t) == 1 {
		res.Tier = t[0]
	}
	var kept bytes.Buffer
	if out == nil {
		out = &kept
	}
	said := &listener{event: w.Event}
	err := r.process(ctx, s, out, said, w.Began)
	res.Finished = r.Now().UTC()
	r.conclude(ctx, &res, err, said)
	if kept.Len() > 0 {
		res.take(kept.Bytes())
	}
	return res
}

// process runs the step to its end. The thread that starts it lives as long, since its death is what ends the step with this process.
func (r Runner) process(ctx context.Context, s Step, out, talk io.Writer, began func(Process)) error {
	program := r.Program
	if program == "" {
		program = "/proc/self/exe"
		if name, err := os.Executable(); err == nil && !strings.HasSuffix(name, " (deleted)") {
			program = name // the one on disk: an upgrade takes effect
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	args := append(append([]string{}, r.Args...), s.Args...)
	c := exec.CommandContext(ctx, program, append(args, "--json")...)
	c.Env = append(slices.DeleteFunc(os.Environ(), ofDaemon), r.Env...)
	c.Stdout, c.Stderr = out, talk
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT, Setpgid: true}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
	c.WaitDelay = r.Grace
	if err := c.Start(); err != nil {
		return err
	}
	if began != nil {
		began(Process{PID: c.Process.Pid, Start: startOf(c.Process.Pid)})
	}
	return c.Wait()
}

// ofDaemon reports whether a variable is what systemd tells the daemon alone.
func ofDaemon(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}, name)
}

// conclude says how a step ended.
func (r Runner) conclude(ctx context.Context, res *Result, err error, said *listener) {
	said.flush()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended well; something that it left holds its output open
		return
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		res.Exit = exit.ExitCode()
	case errors.As(err, &exit):
		res.Exit = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
		res.Error, res.Hint = fmt.Sprintf("holdfast %s was killed: %s", res.Step(), exit.Sys().(syscall.WaitStatus).Signal()), "see the kernel's log (journalctl -k) for want of memory"
	default:
		res.Exit, res.Error = 1, fmt.Sprintf("start holdfast %s: %v", res.Step(), err)
	}
	res.Kind = r.Kind(res.Exit)
	switch f := said.failure; {
	case ctx.Err() != nil && (res.Exit > 128 || errors.Is(err, context.Canceled)):
		res.Exit, res.Kind, res.Error, res.Hint = 130, r.Kind(130), "it was stopped", ""
	case f.Error != "":
		res.Error, res.Kind, res.Hint = f.Error, f.Kind, f.Hint
	case res.Error == "":
		res.Error, res.Hint = said.last, "holdfast "+strings.Join(res.Args, " ")+" tells more"
		if strings.Contains(said.text, "\ngoroutine ") || strings.HasPrefix(said.text, "panic: ") { // exit 2, and no wrong usage
			res.Kind = r.Kind(1)
		}
	}
}

// failure is the line that a command ends with that failed.
type failure struct {
	Error string `json:"error"`
	Kind  string `json:"kind"`
	Hint  string `json:"hint"`
}

// Bounds of what is kept of what a step says.
const (
	longestLine = 1 << 20
	longestText = 4 << 10
)

// listener reads what a step says on stderr: events, at last an error, and what no program says on purpose.
type listener struct {
	event   event.Listener
	failure failure
	last    string // note or text
	text    string // that is not JSON, its beginning
	rest    []byte
}

func (l *listener) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.line(line)
		l.rest = rest
	}
	if len(l.rest) > longestLine {
		l.rest = nil
	}
	return len(p), nil
}

func (l *listener) flush() {
	l.line(l.rest)
	l.rest = nil
}

func (l *listener) line(line []byte) {
	var one struct {
		event.Event
		failure
	}
	switch {
	case len(bytes.TrimSpace(line)) == 0:
	case json.Unmarshal(line, &one) != nil:
		if len(l.text) < longestText {
			l.text += string(line) + "\n"
		}
		if l.last == "" {
			l.last = strings.TrimSpace(string(line))
		}
	case one.Error != "":
		l.failure = one.failure
	case one.Event.Kind != "":
		if one.Event.Kind == event.Note {
			l.last = one.Text
		}
		if l.event != nil {
			l.event(one.Event)
		}
	}
}

// Alive reports whether the process still runs.
func (p Process) Alive() bool { return p.PID > 0 && p.Start != "" && startOf(p.PID) == p.Start }

// Stop asks the process to clean up, and kills it after the grace.
func (p Process) Stop(ctx context.Context, grace time.Duration) {
	if !p.Alive() {
		return
	}
	syscall.Kill(p.PID, syscall.SIGINT) // it may have ended meanwhile
	for end := time.After(grace); p.Alive(); {
		select {
		case <-end:
			syscall.Kill(-p.PID, syscall.SIGKILL)
			return
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startOf is when a process was started, as field 22 of its stat has it, and "" when it is gone.
func startOf(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := bufio.NewScanner(strings.NewReader(rest))
	fields.Split(bufio.ScanWords)
	for n := 3; fields.Scan(); n++ {
		if n == 3 && fields.Text() == "Z" {
			return ""
		}
		if n == 22 {
			return fields.Text()
		}
	}
	return ""
}
