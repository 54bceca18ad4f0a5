package cli

import (
	"strings"

	"holdfast/internal/coverage"
	"holdfast/internal/report"
)

// coverTable is what status shows of each component, in colour on a terminal.
func (a *app) coverTable(o coverage.Overview) *report.Table {
	t := o.Table()
	if a.paints() {
		t.Paint = paintStatus
	}
	return t
}

// tellBroken says which promises are broken, a sentence each.
func (a *app) tellBroken(all []coverage.Broken) error {
	if len(all) == 0 {
		return nil
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	for _, b := range all {
		text := "broken: " + b.Text
		if a.paints() {
			text = red + text + plain
		}
		if err := a.printf("%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// The colours of a terminal.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paints reports whether stdout shows colours.
func (a *app) paints() bool {
	return !a.noColor && a.env.Getenv("NO_COLOR") == "" && a.env.IsTerminal(a.env.Stdout)
}

// paintStatus gives cells of the table their colour: red what is broken, yellow what was never proven.
func paintStatus(cell string) (before, after string) {
	switch {
	case strings.HasSuffix(cell, coverage.LateMark), cell == "DAMAGED", strings.HasPrefix(cell, "failed"):
		return red, plain
	case cell == "never", strings.HasPrefix(cell, "partial"):
		return yellow, plain
	}
	return "", ""
}
