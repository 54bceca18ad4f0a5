package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"holdfast/internal/event"
	"holdfast/internal/problem"
)

// testApp is an app whose output is kept and which no terminal is attached to.
func testApp(stdin string) (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	a = &app{env: Env{
		Stdin: strings.NewReader(stdin), Stdout: stdout, Stderr: stderr,
		Getenv:     func(string) string { return "" },
		IsTerminal: func(any) bool { return false },
		Size:       func() (int, int) { return 0, 0 },
		Now:        func() time.Time { return time.Unix(1000, 0) },
	}}
	return a, stdout, stderr
}

func TestExitCodes(t *testing.T) {
	for kind, want := range map[problem.Kind]int{
		problem.Failed: 1, problem.Usage: 2, problem.Partial: 3, problem.NotFound: 4, problem.Unreachable: 5,
		problem.Busy: 6, problem.Damage: 7, problem.Interrupted: 130,
	} {
		a, _, stderr := testApp("")
		err := fmt.Errorf("outer: %w", problem.New(kind, "mend it", "two\nlines"))
		if got := a.fail(t.Context(), err); got != want {
			t.Errorf("kind %d: exit %d, want %d", kind, got, want)
		}
		if got := stderr.String(); got != "holdfast: outer: two; lines\n  hint: mend it\n" {
			t.Errorf("stderr %q", got)
		}
		a, _, stderr = testApp("")
		a.json = true
		a.fail(t.Context(), err)
		var f failure
		if err := json.Unmarshal(stderr.Bytes(), &f); err != nil || f.ExitCode != want || f.Hint != "mend it" || f.Kind == "" {
			t.Errorf("json %q: %v", stderr, err)
		}
		if strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("json takes several lines: %q", stderr)
		}
	}
}

func TestExitPlainErrors(t *testing.T) {
	a, _, stderr := testApp("")
	if got := a.fail(t.Context(), nil); got != 0 || stderr.Len() > 0 {
		t.Errorf("nil: exit %d, %q", got, stderr)
	}
	if got := a.fail(t.Context(), errors.New("disk on fire")); got != 1 {
		t.Errorf("plain error: exit %d", got)
	}
	if got := a.fail(t.Context(), fmt.Errorf("copy: %w", context.Canceled)); got != 130 {
		t.Errorf("cancelled: exit %d", got)
	}
}

// TestExitWhenStopped: an operator's interruption shows up as any failure of what was running.
func TestExitWhenStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, _, _ := testApp("")
	if got := a.fail(ctx, errors.New("broken pipe")); got != 130 {
		t.Errorf("exit %d, want 130", got)
	}
	if got := a.fail(ctx, problem.New(problem.Usage, "", "no inventory")); got != 130 {
		t.Errorf("exit %d, want 130", got)
	}
	if got := a.fail(ctx, problem.New(problem.Partial, "", "half")); got != 3 {
		t.Errorf("a partial point stays one: exit %d, want 3", got)
	}
}

func TestQuietly(t *testing.T) {
	a, _, stderr := testApp("")
	if got := a.fail(t.Context(), errors.Join(nil, quietly(problem.Damage))); got != 7 || stderr.Len() > 0 {
		t.Errorf("exit %d, stderr %q", got, stderr)
	}
}

// TestInterruptedIsTold cancels a command while it works: the operator is told at once, before the command ends.
func TestInterruptedIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, _, _ := testApp("")
	read, write := io.Pipe()
	told := make(chan struct{})
	env := a.env
	env.Stderr = write
	env.Getenv = func(string) string { // what the command does first
		cancel()
		<-told
		return "/none.yml"
	}
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"config", "check"}, env)
		write.Close()
	}()
	said := bufio.NewReader(read)
	if line, err := said.ReadString('\n'); err != nil || line != "holdfast: interrupted, cleaning up; once more stops at once\n" {
		t.Errorf("said %q, %v", line, err)
	}
	close(told)
	if rest, err := io.ReadAll(said); err != nil || !strings.Contains(string(rest), "read configuration /none.yml") {
		t.Errorf("said %q, %v", rest, err)
	}
	if code := <-ended; code != 130 {
		t.Errorf("exit %d", code)
	}
}

// TestEveryCommandTellsItsExits walks the whole command line.
func TestEveryCommandTellsItsExits(t *testing.T) {
	a, _, _ := testApp("")
	each(newRoot(a), func(c *cobra.Command) {
		if c.Runnable() && !strings.Contains(c.Long, "EXIT STATUS\n    0  done\n") {
			t.Errorf("%s has no exit status in its help", c.CommandPath())
		}
		if c.Short != "" && (c.Short[0] < 'a' || c.Short[0] > 'z' || strings.HasSuffix(c.Short, ".")) {
			t.Errorf("%s: short help %q is not in lower case without full stop", c.CommandPath(), c.Short)
		}
	})
	if !strings.Contains(ends(problem.Damage)[exitsKey], "    7  verification found damaged data\n") {
		t.Error("a kind of the command's own is not told")
	}
}

func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		name     string
		answer   string
		terminal bool
		yes      bool
		json     bool
		ok       bool
	}{
		{name: "yes", answer: "yes\n", terminal: true, ok: true},
		{name: "y is not enough", answer: "y\n", terminal: true},
		{name: "nothing", answer: "", terminal: true},
		{name: "nobody there", answer: "yes\n"},
		{name: "flag", yes: true, ok: true},
		{name: "json", json: true, answer: "yes\n", terminal: true},
		{name: "json with flag", json: true, yes: true, ok: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _, stderr := testApp(c.answer)
			a.yes, a.json = c.yes, c.json
			a.env.IsTerminal = func(any) bool { return c.terminal }
			err := a.confirm(t.Context(), "the plan\n")
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			if err != nil && problem.KindOf(err) != problem.Usage {
				t.Errorf("kind of %v", err)
			}
			if shown := strings.HasPrefix(stderr.String(), "the plan\n"); shown == c.json {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestConfirmInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, _, _ := testApp("")
	a.env.Stdin, _ = io.Pipe()
	a.env.IsTerminal = func(any) bool { return true }
	if err := a.confirm(ctx, "plan"); problem.KindOf(err) != problem.Interrupted {
		t.Errorf("got %v", err)
	}
}

// TestPruneUnanswered: a question that nobody answers does not keep others from the tier for ever.
func TestPruneUnanswered(t *testing.T) {
	was := unanswered
	unanswered = time.Millisecond
	defer func() { unanswered = was }()
	for _, doubtful := range []bool{false, true} {
		a, _, stderr := testApp("")
		a.env.Stdin, _ = io.Pipe()
		a.env.IsTerminal = func(any) bool { return true }
		res := pruned{Removed: 3, NeedsConfirmation: doubtful}
		err := a.mayPrune(t.Context(), &res, pruneOptions{confirm: -1})
		if problem.KindOf(err) != problem.Interrupted || !strings.Contains(fmt.Sprint(err), "nobody answered") {
			t.Errorf("got %v, %s", err, stderr)
		}
	}
}

// onTerminal shows a short run on a real terminal and returns what arrived at its screen.
func onTerminal(t *testing.T, set func(*app)) string {
	t.Helper()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	var reader sync.WaitGroup
	reader.Go(func() { io.Copy(&got, screen) }) // ends with an error when the terminal is closed
	a, _, _ := testApp("")
	a.env.Stderr, a.env.IsTerminal, a.env.Now = terminal, isTerminal, time.Now
	a.env.Size = func() (int, int) { return sizeOf(terminal) }
	set(a)
	run(a)
	terminal.Close()
	reader.Wait()
	return got.String()
}

func run(a *app) {
	d := a.progress()
	d.Listen(event.Event{Kind: event.Started, Source: "kolla", Component: "ctl1", Total: 1 << 20})
	d.Listen(event.Event{Kind: event.Progress, Source: "kolla", Component: "ctl1", Bytes: 1 << 19})
	a.say("halfway")
	d.Listen(event.Event{Kind: event.Finished, Source: "kolla", Component: "ctl1", Bytes: 1 << 20, State: "good"})
	d.Close()
	a.warn("over")
}

func TestProgressOnATerminal(t *testing.T) {
	const bar, colour, up = "█░", "\x1b[32m", "\x1b[2A"
	got := onTerminal(t, func(*app) {})
	for _, want := range []string{bar, colour, up, "holdfast: halfway\r\n", "holdfast: warning: over\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q on the screen: %q", want, got)
		}
	}
	if strings.Contains(got, "\x1b[?") {
		t.Errorf("a terminal mode was changed: %q", got)
	}
	env := func(key string) func(*app) {
		return func(a *app) {
			a.env.Getenv = func(k string) string { return map[string]string{key: "dumb"}[k] }
		}
	}
	for name, c := range map[string]struct {
		set         func(*app)
		bar, colour bool
	}{
		"--no-color": {func(a *app) { a.noColor = true }, true, false},
		"NO_COLOR":   {env("NO_COLOR"), true, false},
		"TERM=dumb":  {env("TERM"), false, false},
		"--quiet":    {func(a *app) { a.quiet = true }, false, false},
		"--json":     {func(a *app) { a.json = true }, false, false},
	} {
		got := onTerminal(t, c.set)
		if strings.Contains(got, bar) != c.bar || strings.Contains(got, colour) != c.colour {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestProgressInAPipe(t *testing.T) {
	a, stdout, stderr := testApp("")
	run(a)
	if stdout.Len() > 0 || strings.Contains(stderr.String(), "\x1b") || strings.Contains(stderr.String(), "█") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	for _, want := range []string{"kolla ctl1: started\n", "holdfast: halfway\n", "kolla ctl1: good, 1.00 MiB read", "holdfast: warning: over\n"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in %q", want, stderr)
		}
	}
}

func TestProgressInJSON(t *testing.T) {
	a, _, stderr := testApp("")
	a.json = true
	a.say("before")
	run(a)
	for line := range strings.Lines(stderr.String()) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
	if strings.Count(stderr.String(), "\n") != 6 {
		t.Errorf("stderr %q", stderr)
	}
}
