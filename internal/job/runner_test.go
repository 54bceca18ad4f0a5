package job

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/event"
)

// TestMain makes this program the step that a test runs.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_STEP") != "" {
		step(os.Args[1:])
	}
	os.Exit(m.Run())
}

// step behaves as its first argument says.
func step(args []string) {
	switch args[0] {
	case "backup":
		fmt.Fprintln(os.Stderr, `{"event":"started","time":"2026-11-23T02:00:00Z","source":"kolla"}`)
		fmt.Println(`{"id":"p1","components":[{"source":"kolla","state":"good","bytes_read":3,"bytes_new":2},{"source":"rbd","state":"failed","bytes_read":4,"bytes_new":1}]}`)
	case "replicate":
		fmt.Println(`[{"points":[{"point":"p1","bytes":5}]},{"points":[{"point":"p2","bytes":6}]}]`)
		fmt.Fprintln(os.Stderr, `{"error":"tier disk is full","kind":"unreachable","hint":"free some","exit_code":5}`)
		os.Exit(5)
	case "verify":
		if len(args) > 2 { // --json is the last
			fmt.Println(`{"tier":"disk","read_bytes":9,"verified":[{"point":"p1","read_bytes":9}]}`)
			os.Exit(0)
		}
		fmt.Println(`[{"point":"p1","read_bytes":5},{"point":"p2","read_bytes":6}]`)
		os.Exit(7) // has told its story on stdout
	case "prune":
		panic("a bug")
	case "drill":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT)
		fmt.Fprintln(os.Stderr, `{"event":"started","time":"2026-11-23T02:00:00Z"}`)
		<-signals
		os.Exit(130)
	case "replicate-on": // leaves something that keeps its output open
		c := exec.Command("sleep", "5")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			os.Exit(1)
		}
	case "doctor": // does not stop
		signal.Ignore(syscall.SIGINT)
		fmt.Fprintln(os.Stderr, `{"event":"started","time":"2026-11-23T02:00:00Z"}`)
		time.Sleep(time.Minute)
	case "parent":
		r := testRunner()
		r.Run(context.Background(), Step{Args: []string{args[1]}}, nil, Watch{Began: func(p Process) { fmt.Println(p.PID, p.Start) }})
	}
	os.Exit(0)
}

func testRunner() Runner {
	return Runner{
		Program: os.Args[0], Env: []string{"TEST_STEP=1"}, Grace: 300 * time.Millisecond, Now: time.Now,
		Kind: func(exit int) string { return fmt.Sprint("kind", exit) },
	}
}

func TestRun(t *testing.T) {
	var events []event.Event
	w := Watch{Event: func(e event.Event) { events = append(events, e) }}
	r := testRunner().Run(t.Context(), Step{Args: []string{"backup", "kolla"}, Uses: []string{"source:kolla"}}, nil, w)
	if !r.Good() || r.Kind != "" || r.Point != "p1" || r.Read != 7 || r.New != 3 || !slices.Equal(r.Whole, []string{"kolla"}) || r.Sources[0] != "kolla" || r.Finished.Before(r.Started) || len(events) != 1 {
		t.Errorf("%+v, %v", r, events)
	}
	r = testRunner().Run(t.Context(), Step{Args: []string{"replicate", "disk"}, Uses: []string{"tier:disk"}}, nil, Watch{})
	if r.Exit != 5 || r.Kind != "unreachable" || r.Error != "tier disk is full" || r.Hint != "free some" || r.New != 11 || r.Tier != "disk" {
		t.Errorf("%+v", r)
	}
	if r = testRunner().Run(t.Context(), Step{Args: []string{"verify"}}, nil, Watch{}); r.Exit != 7 || r.Kind != "kind7" || r.Read != 11 || !strings.Contains(r.Hint, "holdfast verify") {
		t.Errorf("%+v", r)
	}
	if r = testRunner().Run(t.Context(), Step{Args: []string{"verify", "--heal"}}, nil, Watch{}); !r.Good() || r.Read != 9 {
		t.Errorf("%+v", r)
	}
	if r = testRunner().Run(t.Context(), Step{Args: []string{"prune"}}, nil, Watch{}); r.Exit != 2 || r.Kind != "kind1" || r.Error != "panic: a bug" {
		t.Errorf("%+v", r)
	}
	none := testRunner()
	none.Program = "/nowhere"
	if r = none.Run(t.Context(), Step{Args: []string{"prune"}}, nil, Watch{}); r.Exit != 1 || !strings.Contains(r.Error, "/nowhere") {
		t.Errorf("%+v", r)
	}
}

// TestLeftBehind: what a step leaves that holds its output open does not make it fail.
func TestLeftBehind(t *testing.T) {
	if res := testRunner().Run(t.Context(), Step{Args: []string{"replicate-on"}}, nil, Watch{}); !res.Good() || res.Error != "" {
		t.Errorf("%+v", res)
	}
}

// TestStop stops a step that cleans up, and one that has to be killed.
func TestStop(t *testing.T) {
	for _, verb := range []string{"drill", "doctor"} {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		r := testRunner().Run(ctx, Step{Args: []string{verb}}, nil, Watch{Event: func(event.Event) { cancel() }})
		if r.Exit != 130 || r.Kind != "kind130" || time.Since(began) > 30*time.Second {
			t.Errorf("%s: %+v after %s", verb, r, time.Since(began))
		}
	}
}

// TestDiesWithItsParent kills who started a step: the step is asked to end, and can be killed later by who remembers it.
func TestDiesWithItsParent(t *testing.T) {
	for verb, dies := range map[string]bool{"drill": true, "doctor": false} {
		c := exec.Command(os.Args[0], "parent", verb)
		c.Env = append(os.Environ(), "TEST_STEP=1")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var p Process
		if _, err := fmt.Fscan(out, &p.PID, &p.Start); err != nil || !p.Alive() {
			t.Fatal(err, p)
		}
		if !dies {
			awaitIgnored(t, p.PID)
		}
		c.Process.Kill()
		c.Wait()
		if !dies {
			p.Stop(t.Context(), 100*time.Millisecond)
		}
		for end := time.Now().Add(20 * time.Second); p.Alive(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s outlives its parent", verb)
			}
		}
	}
}

// awaitIgnored waits until a process ignores SIGINT, signal 2.
func awaitIgnored(t *testing.T, pid int) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, ignored, _ := strings.Cut(string(status), "SigIgn:\t")
		var mask uint64
		if fmt.Sscanf(ignored, "%x", &mask); mask&2 != 0 {
			return
		}
	}
	t.Fatal("it never ignored the signal")
}
