package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

// failure is an error as --json tells it: one line on stderr.
type failure struct {
	Error    string         `json:"error"`
	Kind     string         `json:"kind"`
	Hint     string         `json:"hint"`
	ExitCode int            `json:"exit_code"`
	Errors   []config.Fault `json:"errors,omitempty"`
}

// fail tells err to the operator and returns the exit code. A silent error has told itself already.
func (a *app) fail(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	code, name := exitCode(kindOf(ctx, err))
	var told silent
	if errors.As(err, &told) {
		return code
	}
	var faults *config.Errors
	errors.As(err, &faults)
	if a.json {
		f := failure{Error: oneLine(err.Error()), Kind: name, Hint: problem.HintOf(err), ExitCode: code}
		if faults != nil {
			f.Errors = faults.Faults
		}
		writeJSONLine(a.env.Stderr, f)
		return code
	}
	if faults != nil {
		for _, f := range faults.Faults {
			tell(a.env.Stderr, f.String(), f.Hint)
		}
		return code
	}
	tell(a.env.Stderr, err.Error(), problem.HintOf(err))
	return code
}

// kindOf is the kind of a failure of what ctx could stop: what an operator stops fails in many ways.
func kindOf(ctx context.Context, err error) problem.Kind {
	kind := problem.KindOf(err)
	if ctx.Err() != nil && (kind == problem.Failed || kind == problem.Usage) {
		return problem.Interrupted
	}
	return kind
}

// tell writes an error and its hint, a line each.
func tell(w io.Writer, text, hint string) {
	fmt.Fprintf(w, "holdfast: %s\n", oneLine(text))
	if hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", oneLine(hint))
	}
}

// oneLine joins the lines of what a far command or a library said.
func oneLine(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

func writeJSONLine(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // stderr that cannot be written to leaves nobody to tell
}

// silent is a failure whose whole story is on stdout already (a table of checks, a point that is partial): only its
// exit code is left to say.
type silent struct{ kind problem.Kind }

func (s silent) Error() string { return "" }

// Unwrap gives the failure its kind.
func (s silent) Unwrap() error { return &problem.Error{Kind: s.kind} }

// quietly ends a command with the exit code of kind and no message.
func quietly(kind problem.Kind) error { return silent{kind} }
