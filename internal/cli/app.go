package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"holdfast/internal/config"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/secret"
)

// app is what all commands share.
type app struct {
	env     Env
	file    string // -c
	json    bool
	quiet   bool
	noColor bool
	yes     bool
	tier    string // --tier; "" is the first
	at      string // --at; "" is now
	noWait  bool   // --no-wait

	came job.Result // of the command: its point and bytes, for the daemon

	mu      sync.Mutex     // of display: an interruption comes at any time
	display report.Display // nil until a command shows progress
}

// config reads the configuration that the command line or the environment names.
func (a *app) config() (*config.Config, error) {
	file := config.Find(a.file, a.env.Getenv)
	if taken := a.env.Getenv(job.EnvConfig); taken != "" {
		if data, err := os.ReadFile(taken); err == nil {
			return config.Parse(file, data)
		}
	}
	return config.Load(file)
}

// printJSON writes v to stdout, indented.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.env.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// printf writes to stdout.
func (a *app) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(a.env.Stdout, format, args...); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// passphrase fetches what opens the vault of a tier. With create it is asked for twice when a person types it.
func (a *app) passphrase(ctx context.Context, t config.Tier, create bool) (secret.Secret, error) {
	return secret.Resolve(ctx, t.Passphrase, secret.Options{
		What:   "passphrase of tier " + t.Name,
		Prompt: a.prompt(create),
		Warn:   a.warn,
	})
}

// prompt asks on the terminal, if there is one to type at and one to show the question on.
func (a *app) prompt(confirm bool) *secret.Prompt {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !a.env.IsTerminal(in) || !a.env.IsTerminal(a.env.Stderr) {
		return nil
	}
	return &secret.Prompt{Terminal: in, Out: a.env.Stderr, Confirm: confirm}
}

// yesFlag gives a command the flag that answers its question beforehand.
func (a *app) yesFlag(flags *pflag.FlagSet) {
	flags.BoolVarP(&a.yes, "yes", "y", false, "do it without asking")
}

// confirm shows a plan on stderr and goes on only after --yes or a "yes" typed at a terminal.
func (a *app) confirm(ctx context.Context, plan string) error {
	if !a.json {
		fmt.Fprintln(a.env.Stderr, strings.TrimRight(plan, "\n"))
	}
	if a.yes {
		return nil
	}
	if a.json || !a.env.IsTerminal(a.env.Stdin) {
		return problem.New(problem.Usage, "read the plan, then add --yes", "nobody is there to confirm it")
	}
	fmt.Fprint(a.env.Stderr, "type yes to go on: ")
	answer, err := readLine(ctx, a.env.Stdin)
	if err != nil {
		return err
	}
	if answer != "yes" {
		return problem.New(problem.Usage, "", "not confirmed; nothing was changed")
	}
	return nil
}

// readLine reads one line; a read that ctx overtakes is left behind.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-answers:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return "", fmt.Errorf("read answer: %w", a.err)
		}
		return strings.TrimSpace(a.line), nil
	}
}

func errorsAs[T error](err error) (T, bool) {
	var target T
	ok := errors.As(err, &target)
	return target, ok
}
