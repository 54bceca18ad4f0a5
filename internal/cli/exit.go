package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
)

// exits is the one map from kinds of problems to exit codes. Name is the kind in JSON, Text its line in the help.
var exits = []struct {
	kind problem.Kind
	code int
	name string
	text string
}{
	{problem.Failed, 1, "failed", "the work was not done"},
	{problem.Usage, 2, "usage", "the command line or the configuration is wrong"},
	{problem.Partial, 3, "partial", "something was captured or restored and something was not"},
	{problem.NotFound, 4, "not_found", "nothing restorable was found"},
	{problem.Unreachable, 5, "unreachable", "the vault cannot be reached, or the key is wrong"},
	{problem.Busy, 6, "busy", "somebody else holds the lock"},
	{problem.Damage, 7, "damage", "verification found damaged data"},
	{problem.Interrupted, 130, "interrupted", "the operator stopped it"},
}

// exitCode returns the exit code and JSON name of a kind.
func exitCode(k problem.Kind) (code int, name string) {
	for _, e := range exits {
		if e.kind == k {
			return e.code, e.name
		}
	}
	return 1, "failed"
}

const exitsKey = "exits"

// ends annotates a command with the kinds of failure it can end in beside Failed, Usage and Interrupted, which every
// command can; its help lists them.
func ends(kinds ...problem.Kind) map[string]string {
	kinds = append(kinds, problem.Failed, problem.Usage, problem.Interrupted)
	var b strings.Builder
	fmt.Fprintf(&b, "  %3d  %s\n", 0, "done")
	for _, e := range exits {
		if slices.Contains(kinds, e.kind) {
			fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.text)
		}
	}
	return map[string]string{exitsKey: b.String()}
}

// tellExits ends the help of c and of every command below it with its exit codes.
func tellExits(c *cobra.Command) {
	for _, child := range c.Commands() {
		tellExits(child)
	}
	if !c.Runnable() {
		return
	}
	text := c.Annotations[exitsKey]
	if text == "" {
		text = ends()[exitsKey]
	}
	if c.Long == "" {
		c.Long = c.Short
	}
	c.Long = strings.TrimRight(c.Long, "\n") + "\n\nEXIT STATUS\n" + strings.TrimRight(text, "\n")
}
