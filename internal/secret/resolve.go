package secret

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/problem"
)

// Ref says where a secret comes from. At most one field is set; the zero value means that a person knows it.
type Ref struct {
	File     string // first line of this file
	Command  string // first line of the output of this command, run by sh
	KollaKey string // this key of Kolla's passwords.yml
}

// IsZero reports whether the reference names no place.
func (r Ref) IsZero() bool { return r == Ref{} }

// String names the place, which is no secret.
func (r Ref) String() string {
	switch {
	case r.File != "":
		return "file " + r.File
	case r.Command != "":
		return "command " + r.Command
	case r.KollaKey != "":
		return "key " + r.KollaKey + " of passwords.yml"
	}
	return "the terminal"
}

// Options say how a reference is followed.
type Options struct {
	// What the secret is, for messages: "passphrase of tier local".
	What string
	// KollaKey reads a key of Kolla's passwords.yml.
	KollaKey func(ctx context.Context, key string) (Secret, error)
	// Prompt asks a person when the reference is zero; nil means that nobody is there.
	Prompt *Prompt
	// Warn is told of what is unsafe but works; nil drops it.
	Warn func(text string)
	// Timeout bounds a command; 0 means DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is how long a command may take to give a secret.
const DefaultTimeout = 30 * time.Second

// maxLine bounds a secret: more is surely the wrong file.
const maxLine = 64 << 10

// Resolve fetches the secret that ref points to. It is never empty without an error, and no error tells it.
func Resolve(ctx context.Context, ref Ref, o Options) (Secret, error) {
	s, err := resolve(ctx, ref, o)
	if err != nil {
		return Secret{}, problem.Wrap(err, "get the", what(o))
	}
	return s, nil
}

func what(o Options) string {
	if o.What == "" {
		return "secret"
	}
	return o.What
}

func resolve(ctx context.Context, ref Ref, o Options) (Secret, error) {
	switch {
	case ref.File != "":
		return fromFile(ref.File, o)
	case ref.Command != "":
		return fromCommand(ctx, ref.Command, o)
	case ref.KollaKey != "" && o.KollaKey != nil:
		return o.KollaKey(ctx, ref.KollaKey)
	case ref.KollaKey != "":
		return Secret{}, problem.New(problem.Usage, "use file or command", "it cannot come from passwords.yml")
	case o.Prompt != nil:
		return o.Prompt.Ask(ctx, what(o))
	}
	return Secret{}, problem.New(problem.Usage, "give it a file or a command in holdfast.yml, or run on a terminal",
		"nobody is there to ask")
}

func fromFile(name string, o Options) (Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return Secret{}, unreadable(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && o.Warn != nil {
		o.Warn(fmt.Sprintf("%s holds a secret and others may read it (mode %04o): chmod 600 %s", name,
			info.Mode().Perm(), name))
	}
	s, err := firstLine(f)
	if err != nil {
		return Secret{}, fmt.Errorf("read %s: %w", name, err)
	}
	return s, nil
}

func unreadable(err error) error {
	hint := "check the path in holdfast.yml"
	if errors.Is(err, fs.ErrPermission) {
		hint = "run as the user that owns it, usually root"
	}
	return problem.New(problem.Usage, hint, "%w", err)
}

// firstLine returns the first line of r without its end, and an error if it is empty or too long.
func firstLine(r io.Reader) (Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return Secret{}, err
	}
	if len(line) > maxLine {
		return Secret{}, errors.New("the first line is too long for a secret")
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return Secret{}, problem.New(problem.Usage, "put the secret on its first line", "the first line is empty")
	}
	return New(line), nil
}

// fromCommand runs command in a process group of its own, so that a timeout ends its children too.
func fromCommand(ctx context.Context, command string, o Options) (Secret, error) {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(bounded, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	s, lineErr := firstLine(&stdout)
	if ctx.Err() != nil {
		return Secret{}, ctx.Err()
	}
	if bounded.Err() != nil {
		err = fmt.Errorf("no answer within %s", timeout)
	}
	if err == nil {
		err = lineErr
	}
	if err != nil {
		return Secret{}, commandFailed(err, Redact(stderr.String(), s))
	}
	return s, nil
}

func commandFailed(err error, stderr string) error {
	const most = 500
	said := strings.Join(strings.Fields(stderr), " ")
	if len(said) > most {
		said = "…" + strings.ToValidUTF8(said[len(said)-most:], "")
	}
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return problem.New(problem.Failed, "run the command of holdfast.yml by hand; it must print the secret on its first line",
		"run its command: %w", err)
}

// Redact replaces every secret in s by a placeholder.
func Redact(s string, secrets ...Secret) string {
	for _, hidden := range secrets {
		if !hidden.Empty() {
			s = strings.ReplaceAll(s, hidden.text, redacted)
		}
	}
	return s
}
