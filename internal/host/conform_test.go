package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/host"
)

// conform is what every kind of host must do; mk makes one, with what it needs, for a test.
func conform(t *testing.T, mk func(t *testing.T) host.Host) {
	h := mk(t)
	conformFed(t, h)
	for name, test := range map[string]func(*testing.T, host.Host){
		"arguments arrive byte-exact":  testArguments,
		"environment and directory":    testEnvironment,
		"secret can be read twice":     testSecret,
		"secret is nowhere in proc":    testSecretHidden,
		"exit status and signal":       testStatus,
		"command absent":               testAbsent,
		"stderr is bounded and told":   testStderr,
		"cancel kills the whole group": testCancel,
		"early end of reading":         testStreamStops,
		"leftover children":            testLeftover,
		"large stream":                 testLargeStream,
		"missing directory":            testNoDirectory,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

// conformFed is what every kind of host must do with a command's input.
func conformFed(t *testing.T, h host.Host) {
	for name, test := range map[string]func(*testing.T, host.Host){
		"cancel kills a fed command":    testCancelFed,
		"feed arrives whole":            testFeed,
		"a cut feed is no end of input": testFeedCut,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

func local(*testing.T) host.Host { return host.Local{} }

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func output(t *testing.T, h host.Host, c host.Cmd) string {
	t.Helper()
	out, err := host.Output(within(t, 60*time.Second), h, c)
	if err != nil {
		t.Fatalf("%s %q: %v", h, c.Args, err)
	}
	return string(out)
}

func testArguments(t *testing.T, h host.Host) {
	check := func(args []string) string {
		got := output(t, h, host.Cmd{Args: append([]string{"printf", `%s\0`}, args...)})
		return cmp.Diff(strings.Join(args, "\x00")+"\x00", got)
	}
	all := make([]byte, 0, 255)
	for b := 1; b < 256; b++ {
		all = append(all, byte(b))
	}
	fixed := []string{"", " ", "a b", "'", `"`, "$HOME", "`id`", "a\nb\n", "\n", "é→\U0001f600", `\`, "-n", "--", "*", string(all)}
	if d := check(fixed); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	deadline := time.Now().Add(4 * time.Second)
	arg := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(arg, 1, 5).Draw(t, "args")
		if time.Now().After(deadline) {
			return
		}
		if d := check(args); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
	})
}

func testEnvironment(t *testing.T, h host.Host) {
	value := "one\n two 'quoted' $x\n"
	got := output(t, h, host.Cmd{
		Args: []string{"sh", "-c", `printf '%s|%s|%s|' "$A_B" "$LC_ALL" "$TZ"; pwd; [ -n "$PATH" ] && umask`},
		Env:  []string{"A_B=" + value, "TZ=Europe/Berlin"}, Dir: "/usr",
	})
	if d := cmp.Diff(value+"|C|UTC|/usr\n", strings.TrimSuffix(got, "0022\n")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if _, err := h.Start(t.Context(), host.Cmd{Args: []string{"true"}, Env: []string{"a-b=c"}}); err == nil {
		t.Error("an environment entry without a proper name was taken")
	}
	if out := output(t, h, host.Cmd{Args: []string{"sh", "-c", "env | grep -c '^hf_' || true; ls /proc/self/fd | grep -c '^[4-9]$' || true"}}); out != "0\n0\n" {
		t.Errorf("the command sees the supervisor's variables or descriptors: %q", out)
	}
}

func testStatus(t *testing.T, h host.Host) {
	for script, want := range map[string]host.ExitError{
		"echo why >&2; exit 7":            {Code: 7, Stderr: "why\n"},
		"printf 'no newline' >&2; exit 1": {Code: 1, Stderr: "no newline\n"},
		"echo a >&2; echo >&2; exit 2":    {Code: 2, Stderr: "a\n\n"},
		"kill -KILL $$":                   {Code: 137, Signal: "KILL"},
		"kill -TERM $$":                   {Code: 143, Signal: "TERM"},
	} {
		err := host.Run(within(t, 30*time.Second), h, host.Cmd{Args: []string{"sh", "-c", script}})
		var e *host.ExitError
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v", script, err)
			continue
		}
		want.Host, want.Cmd = h.String(), "sh"
		if d := cmp.Diff(&want, e); d != "" {
			t.Errorf("%q (-want +got)\n%s", script, d)
		}
	}
	if err := host.Run(within(t, 30*time.Second), h, host.Cmd{Args: []string{"true"}}); err != nil {
		t.Error(err)
	}
}

func testAbsent(t *testing.T, h host.Host) {
	for _, name := range []string{"no-such-program", "/no/such/program", "/etc/passwd", "/etc"} {
		err := host.Run(within(t, 30*time.Second), h, host.Cmd{Args: []string{name, "x"}})
		var e *host.ExitError
		if !errors.As(err, &e) || e.Code != 126 && e.Code != 127 {
			t.Errorf("%s: got %v", name, err)
		}
		wantHint(t, err, "install")
	}
}

func testStderr(t *testing.T, h host.Host) {
	var lines, bytes int
	err := host.Run(within(t, 30*time.Second), h, host.Cmd{
		Args:     []string{"sh", "-c", `i=0; while [ $i -lt 3000 ]; do echo "line $i of quite a lot of them on stderr"; i=$((i+1)); done >&2; exit 3`},
		OnStderr: func(s string) { lines++; bytes += len(s) + 1 },
	})
	var e *host.ExitError
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if lines != 3000 || bytes < 100_000 {
		t.Errorf("told %d lines of %d bytes", lines, bytes)
	}
	if len(e.Stderr) > 32<<10 || !strings.HasSuffix(e.Stderr, "\nline 2999 of quite a lot of them on stderr\n") {
		t.Errorf("kept %d bytes ending in %q", len(e.Stderr), e.Stderr[max(0, len(e.Stderr)-60):])
	}
}

// stubborn starts a command of three processes that ignore SIGTERM, one of them in a group of its own, and returns a
// word in the command lines of all of them.
func stubborn(t *testing.T) (word string, args []string) {
	word = fmt.Sprintf("stubborn-%d", rand.Uint64())
	return word, []string{"sh", "-c", `trap '' TERM INT HUP; sh -c 'while :; do sleep 1; done' "$1" & bash -mc "sh -c 'while :; do sleep 1; done' $1 & wait" "$1" & echo up; while :; do sleep 1; done`, "sh", word}
}

// processes counts those whose command line holds word.
func processes(word string) (n int) {
	files, _ := os.ReadDir("/proc")
	for _, f := range files {
		b, _ := os.ReadFile("/proc/" + f.Name() + "/cmdline")
		if bytes.Contains(b, []byte(word)) {
			n++
		}
	}
	return n
}

// wantGone waits until no process holds word.
func wantGone(t *testing.T, word string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n := processes(word)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d processes of %s still run", n, word)
		}
	}
}

// started begins the stubborn command and waits until all of it runs.
func started(t *testing.T, ctx context.Context, h host.Host, feed io.Reader) (*host.Process, string) {
	t.Helper()
	word, args := stubborn(t)
	p, err := h.Start(ctx, host.Cmd{Args: args, Stdin: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if _, err := io.ReadFull(p.Stdout(), make([]byte, 3)); err != nil {
		t.Fatalf("%v, %v", err, p.Wait())
	}
	for deadline := time.Now().Add(10 * time.Second); processes(word) < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the command did not come up")
		}
	}
	return p, word
}

func testCancel(t *testing.T, h host.Host) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, word := started(t, ctx, h, nil)
	begin := time.Now()
	cancel()
	if err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantGone(t, word)
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("took %v", d)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func testCancelFed(t *testing.T, h host.Host) {
	for name, feed := range map[string]io.Reader{"silent": silence(t), "endless": endless{}} {
		ctx, cancel := context.WithCancel(t.Context())
		p, word := started(t, ctx, h, feed)
		cancel()
		if err := p.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		wantGone(t, word)
	}
}

func silence(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return r
}

func testFeed(t *testing.T, h host.Host) {
	for _, size := range []int64{0, 1, 100, 4 << 20, 50<<20 + 77} {
		sum := sha256.New()
		feed := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sum)
		got := output(t, h, host.Cmd{Args: []string{"sha256sum"}, Stdin: feed})
		if want := fmt.Sprintf("%x  -\n", sum.Sum(nil)); got != want {
			t.Errorf("%d bytes: got %q, want %q", size, got, want)
		}
	}
	got := output(t, h, host.Cmd{Args: []string{"head", "-c", "5"}, Stdin: endless{}})
	if got != "\x00\x00\x00\x00\x00" {
		t.Errorf("a command that reads only the beginning: %q", got)
	}
	got = output(t, h, host.Cmd{Args: []string{"sh", "-c", "read line; exec <&-; sleep 1; echo $line"}, Stdin: records{}})
	if got != "0\n" {
		t.Errorf("a command that goes on without the rest of its input: %q", got)
	}
}

// records is an endless input that looks like what the supervisor reads.
type records struct{}

func (records) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte("0\n7\n.\n"), len(p)/6+1)), nil
}

// testFeedCut fails the feed after some bytes; the command, which would report an end of input, must not see one.
func testFeedCut(t *testing.T, h host.Host) {
	broken := errors.New("the disk is gone")
	feed := io.MultiReader(io.LimitReader(endless{}, 5<<20), errReader{broken})
	var seen bytes.Buffer
	err := host.Stream(within(t, 30*time.Second), h,
		host.Cmd{Args: []string{"sh", "-c", "cat >/dev/null; echo complete"}, Stdin: feed},
		func(r io.Reader) error { _, err := io.Copy(&seen, r); return err })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if seen.Len() != 0 {
		t.Errorf("the command took a cut feed for a whole one: %q", &seen)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func testStreamStops(t *testing.T, h host.Host) {
	wrong := errors.New("not a stream")
	err := host.Stream(within(t, 30*time.Second), h, host.Cmd{Args: []string{"cat", "/dev/zero"}}, func(r io.Reader) error {
		_, _ = io.ReadFull(r, make([]byte, 1<<20))
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	err = host.Stream(within(t, 30*time.Second), h, host.Cmd{Args: []string{"sh", "-c", "echo half; exit 4"}}, func(r io.Reader) error {
		_, err := io.ReadFull(r, make([]byte, 1<<20))
		return err
	})
	var e *host.ExitError
	if !errors.As(err, &e) || e.Code != 4 {
		t.Errorf("the command's failure was lost: %v", err)
	}
}

// testLeftover runs commands whose children outlive them and hold stdout: those of the group die with it, and one in
// a session of its own is left alone and holds nothing up.
func testLeftover(t *testing.T, h host.Host) {
	word := fmt.Sprintf("leftover-%d", rand.Uint64())
	begin := time.Now()
	got := output(t, h, host.Cmd{Args: []string{"sh", "-c", `sh -c 'sleep 77; :' "$1" & echo done`, "sh", word}})
	wantGone(t, word)
	if got != "done\n" || time.Since(begin) > 5*time.Second {
		t.Errorf("got %q after %v", got, time.Since(begin))
	}
	got = output(t, h, host.Cmd{Args: []string{"sh", "-c", `setsid sh -c 'sleep 4; :' "$1" & echo done`, "sh", word}})
	if got != "done\n" || processes(word) == 0 {
		t.Errorf("got %q, %d daemons", got, processes(word))
	}
	wantGone(t, word)
}

func testLargeStream(t *testing.T, h host.Host) {
	const size = 200 << 20
	begin := time.Now()
	var sum, want [32]byte
	err := host.Stream(within(t, 120*time.Second), h, host.Cmd{Args: []string{"sh", "-c", generate, "sh", fmt.Sprint(size)}}, func(r io.Reader) error {
		s := sha256.New()
		n, err := io.Copy(s, r)
		if err == nil && n != size {
			err = fmt.Errorf("got %d bytes", n)
		}
		s.Sum(sum[:0])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: 200 MiB with sha256 at %.0f MiB/s", h, 200/time.Since(begin).Seconds())
	s := sha256.New()
	if err := host.Stream(t.Context(), host.Local{}, host.Cmd{Args: []string{"sh", "-c", generate, "sh", fmt.Sprint(size)}}, func(r io.Reader) error {
		_, err := io.Copy(s, r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.Sum(want[:0])
	if sum != want {
		t.Error("the bytes differ")
	}
}

// generate writes $1 bytes that look like a stream: numbered lines, so that a lost or doubled block shows.
const generate = `seq 1 40000000 | head -c "$1"`

func testNoDirectory(t *testing.T, h host.Host) {
	err := host.Run(within(t, 30*time.Second), h, host.Cmd{Args: []string{"true"}, Dir: "/no/such/dir"})
	wantHint(t, err, "mend")
	if err == nil || !strings.Contains(err.Error(), "/no/such/dir") {
		t.Errorf("got %v", err)
	}
}
