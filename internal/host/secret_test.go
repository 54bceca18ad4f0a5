package host_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/secret"
)

const password = "s3cr3t-Pa55word-%s-\"'\\"

func option() secret.Secret {
	return secret.New("[client]\nuser=backup\npassword=" + password + "\n\n")
}

func testSecret(t *testing.T, h host.Host) {
	for _, want := range []string{option().Reveal(), "x", "a\n\n\nb", "\n", "\\n\t é\x01\x7f\x81\x88\xff"} {
		got := output(t, h, host.Cmd{Args: []string{"cat", host.SecretPath, host.SecretPath}, Secret: secret.New(want)})
		if d := cmp.Diff(want+want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	got := output(t, h, host.Cmd{Args: []string{"sh", "-c", "stat -Lc '%a %h' /dev/fd/3; find /dev/shm -maxdepth 1 -type f -name 'holdfast.*' -size +0"}, Secret: option()})
	if got != "600 0\n" {
		t.Errorf("mode, links, names left: %q", got)
	}
}

// testSecretHidden looks at every process while a command with a secret runs, and at the error when it failed.
func testSecretHidden(t *testing.T, h host.Host) {
	p, err := h.Start(within(t, 30*time.Second), host.Cmd{
		Args: []string{"sh", "-c", "echo up; sleep 1; cat /dev/fd/3 >&2; exit 1"}, Secret: option(), Env: []string{"hello=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Stdout(), make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir("/proc")
	seen := 0
	for _, f := range files {
		for _, name := range []string{"cmdline", "environ"} {
			b, _ := os.ReadFile("/proc/" + f.Name() + "/" + name)
			seen += len(b)
			if bytes.Contains(b, []byte("s3cr3t-Pa55word")) {
				t.Errorf("/proc/%s/%s holds the secret: %q", f.Name(), name, b)
			}
		}
	}
	if seen == 0 {
		t.Error("nothing was looked at")
	}
	err = p.Wait()
	var e *host.ExitError
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(e.Stderr, "s3cr3t") || !strings.Contains(e.Stderr, "user=backup") {
		t.Errorf("stderr in the error: %q", e.Stderr)
	}
}

// A program that tells a password tells it as it is, not as an option file writes it.
func TestSecretIsHiddenAsItIs(t *testing.T) {
	file := func(written string) string { return "[client]\nuser=backup\npassword=\"" + written + "\"\n" }
	for _, c := range []struct{ secret, told string }{
		{file(`s3cr3t\"with\\and\"`), `s3cr3t"with\and"`},
		{file(`s3cr3t\"with\\and\"`), `s3cr3t\"with\\and\"`},
		{file("[s3cr3t]"), "[s3cr3t]"},
		{"bare=s3cr3t==", "bare=s3cr3t=="},
	} {
		err := host.Run(within(t, 30*time.Second), host.Local{}, host.Cmd{
			Args: []string{"sh", "-c", `printf 'backup denied for <%s>\n' "$1" >&2; exit 1`, "sh", c.told}, Secret: secret.New(c.secret),
		})
		want := "backup denied for <" + secret.New("").String() + ">\n"
		var e *host.ExitError
		if !errors.As(err, &e) || e.Stderr != want {
			t.Errorf("told %s of %q: %v", c.told, c.secret, err)
		}
	}
}
