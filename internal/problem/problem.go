// Package problem holds the one error type that operators see: what was being done, to what, why it went wrong and
// what to do next. Its Kind decides the exit code, the metric label and whether a retry makes sense; everything below
// may return plain errors and only the layer that knows the remedy wraps them.
package problem

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind classes a failure by what the caller may do about it.
type Kind int

// The kinds, each with its exit code in package cli.
const (
	Failed      Kind = iota // the work was not done
	Usage                   // the command line or the configuration is wrong
	Partial                 // something was captured or restored and something was not
	NotFound                // nothing restorable was found
	Unreachable             // the vault cannot be reached, or the key is wrong
	Busy                    // somebody else holds the lock
	Damage                  // verification found damaged data
	Interrupted             // the operator stopped it
)

// Error is a failure told to an operator. Op is a verb phrase ("back up mariadb"), Target the thing (component, host,
// file:line:col), Hint the next step. Cause is kept for errors.Is and errors.As.
type Error struct {
	Kind   Kind
	Op     string
	Target string
	Cause  error
	Hint   string
}

// Error joins what is known on one line, without the hint, which is shown on a line of its own.
func (e *Error) Error() string {
	var parts []string
	if s := strings.TrimSpace(e.Op + " " + e.Target); s != "" {
		parts = append(parts, s)
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of kind k whose text is formatted like fmt.Errorf, with a hint.
func New(k Kind, hint, format string, args ...any) *Error {
	return &Error{Kind: k, Cause: fmt.Errorf(format, args...), Hint: hint}
}

// Wrap says what was being done to what when cause happened; it keeps the kind and hint of a problem inside cause.
func Wrap(cause error, op, target string) *Error {
	return &Error{Kind: KindOf(cause), Op: op, Target: target, Cause: cause, Hint: HintOf(cause)}
}

// KindOf returns the kind of the outermost problem in err, Interrupted for a cancelled context, else Failed.
func KindOf(err error) Kind {
	var p *Error
	if errors.As(err, &p) {
		return p.Kind
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}

// HintOf returns the first hint found from the outside in, or "".
func HintOf(err error) string {
	var p *Error
	for err != nil && errors.As(err, &p) {
		if p.Hint != "" {
			return p.Hint
		}
		err = p.Cause
	}
	return ""
}
