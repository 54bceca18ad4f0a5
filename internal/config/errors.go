package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// Fault is one thing wrong at one place of the file. Line and Col count from 1.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Col     int    `json:"col"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String is file:line:col: message, without the hint.
func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message)
}

// Errors is everything that is wrong with a file, in the order of its lines. To package problem it is a usage error.
type Errors struct{ Faults []Fault }

// Error gives one fault a line, hints in brackets.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
		if f.Hint != "" {
			lines[i] += " (" + f.Hint + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes the errors a problem of kind Usage.
func (e *Errors) Unwrap() error {
	return problem.New(problem.Usage, "holdfast config check lists every error", "%d errors in the configuration",
		len(e.Faults))
}

func (e *Errors) sort() {
	slices.SortStableFunc(e.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}
