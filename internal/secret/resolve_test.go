package secret

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"holdfast/internal/problem"
)

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func want(t *testing.T, got Secret, err error, text string) {
	t.Helper()
	if err != nil || got.Reveal() != text {
		t.Fatalf("got %q, %v; want %q", got.Reveal(), err, text)
	}
}

func TestResolveFile(t *testing.T) {
	for content, text := range map[string]string{
		"one\n": "one", "one": "one", "one\r\ntwo\n": "one", " sp aced \n": " sp aced ",
	} {
		got, err := Resolve(t.Context(), Ref{File: write(t, content, 0o600)}, Options{})
		want(t, got, err, text)
	}
}

func TestResolveFileFaults(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for name, file := range map[string]string{
		"missing": missing, "empty": write(t, "", 0o600), "blank first line": write(t, "\nhunter2\n", 0o600),
		"too long": write(t, strings.Repeat("hunter2", maxLine), 0o600), "directory": t.TempDir(),
	} {
		_, err := Resolve(t.Context(), Ref{File: file}, Options{What: "passphrase of tier local"})
		if err == nil || !strings.Contains(err.Error(), "passphrase of tier local") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResolveFileWarnsOfReaders(t *testing.T) {
	for mode, warnings := range map[os.FileMode]int{0o600: 0, 0o400: 0, 0o640: 1, 0o644: 1} {
		file := write(t, "x\n", mode)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var got []string
		_, err := Resolve(t.Context(), Ref{File: file}, Options{Warn: func(s string) { got = append(got, s) }})
		if err != nil || len(got) != warnings {
			t.Errorf("%04o: %q, %v", mode, got, err)
		}
	}
}

func TestResolveCommand(t *testing.T) {
	got, err := Resolve(t.Context(), Ref{Command: "echo hunter2; echo more; echo talk >&2"}, Options{})
	want(t, got, err, "hunter2")
}

func TestResolveCommandFaults(t *testing.T) {
	_, err := Resolve(t.Context(), Ref{Command: "echo hunter2; echo no key for hunter2 >&2; exit 3"}, Options{})
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no key for [redacted]") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("failing command: %v", err)
	}
	if problem.HintOf(err) == "" {
		t.Error("no hint")
	}
	if _, err = Resolve(t.Context(), Ref{Command: "true"}, Options{}); err == nil {
		t.Error("a command without output gave a secret")
	}
}

// TestResolveCommandTimeout also proves that the command's children die: one would keep the pipe open.
func TestResolveCommandTimeout(t *testing.T) {
	start := time.Now()
	_, err := Resolve(t.Context(), Ref{Command: "sleep 60 & sleep 60"}, Options{Timeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestResolveCommandCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Resolve(ctx, Ref{Command: "sleep 60"}, Options{})
	if problem.KindOf(err) != problem.Interrupted {
		t.Errorf("got %v", err)
	}
}

func TestResolveKollaKey(t *testing.T) {
	read := func(_ context.Context, key string) (Secret, error) {
		if key != "database_password" {
			return Secret{}, errors.New("no such key")
		}
		return New("hunter2"), nil
	}
	got, err := Resolve(t.Context(), Ref{KollaKey: "database_password"}, Options{KollaKey: read})
	want(t, got, err, "hunter2")
	if _, err := Resolve(t.Context(), Ref{KollaKey: "other"}, Options{KollaKey: read}); err == nil {
		t.Error("an unknown key gave a secret")
	}
	if _, err := Resolve(t.Context(), Ref{KollaKey: "other"}, Options{}); problem.KindOf(err) != problem.Usage {
		t.Errorf("without a reader: %v", err)
	}
}

func TestResolveNobodyThere(t *testing.T) {
	_, err := Resolve(t.Context(), Ref{}, Options{})
	if problem.KindOf(err) != problem.Usage || problem.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// ask runs a prompt on a real terminal and types the answers, each once its question has been shown.
func ask(t *testing.T, confirm bool, answers ...string) (got Secret, err error, shown string) {
	t.Helper()
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	defer terminal.Close()
	var screen bytes.Buffer
	questions, out := io.Pipe()
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := questions.Read(buf)
			if err != nil {
				return
			}
			if bytes.HasSuffix(buf[:n], []byte(": ")) && len(answers) > 0 {
				io.WriteString(keyboard, answers[0]+"\n")
				answers = answers[1:]
			}
		}
	}()
	got, err = Resolve(t.Context(), Ref{}, Options{Prompt: &Prompt{Terminal: terminal, Out: io.MultiWriter(&screen, out), Confirm: confirm}})
	return got, err, screen.String()
}

func TestPrompt(t *testing.T) {
	got, err, shown := ask(t, false, "hunter2")
	want(t, got, err, "hunter2")
	if shown != "secret: \n" {
		t.Errorf("shown %q", shown)
	}
	got, err, _ = ask(t, true, "hunter2", "hunter2")
	want(t, got, err, "hunter2")
	if _, err, _ = ask(t, true, "hunter2", "hunter3"); problem.KindOf(err) != problem.Usage {
		t.Errorf("two different answers: %v", err)
	}
	if _, err, _ = ask(t, false, ""); problem.KindOf(err) != problem.Usage {
		t.Errorf("empty answer: %v", err)
	}
}

func TestPromptCancelled(t *testing.T) {
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer keyboard.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Resolve(ctx, Ref{}, Options{Prompt: &Prompt{Terminal: terminal, Out: io.Discard}})
	if problem.KindOf(err) != problem.Interrupted {
		t.Errorf("got %v", err)
	}
}

func TestRedact(t *testing.T) {
	if got := Redact("a hunter2 b hunter2", New("hunter2"), Secret{}); got != "a [redacted] b [redacted]" {
		t.Error(got)
	}
}
