package cli

import (
	"fmt"

	"holdfast/internal/event"
	"holdfast/internal/report"
)

// progress starts to show a run on stderr: bars on a terminal, lines elsewhere, JSON lines with --json, nothing with
// --quiet. The caller closes the display before it prints its result.
func (a *app) progress() report.Display {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.display = report.New(report.Options{
		Mode:  a.mode(),
		Out:   a.env.Stderr,
		Color: !a.noColor && a.env.Getenv("NO_COLOR") == "",
		Size:  a.env.Size,
		Now:   a.env.Now,
	})
	return a.display
}

func (a *app) mode() report.Mode {
	switch {
	case a.json:
		return report.JSON
	case a.quiet:
		return report.Quiet
	case a.env.IsTerminal(a.env.Stderr) && a.env.Getenv("TERM") != "dumb":
		return report.Live
	}
	return report.Plain
}

// say tells the operator something on stderr, beside the progress if there is one.
func (a *app) say(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.display != nil && a.json:
		a.display.Say(text)
	case a.display != nil:
		a.display.Say("holdfast: " + oneLine(text))
	case a.json:
		writeJSONLine(a.env.Stderr, event.Event{Kind: event.Note, Time: a.env.Now().UTC(), Text: text})
	default:
		fmt.Fprintf(a.env.Stderr, "holdfast: %s\n", oneLine(text))
	}
}

// warn says what does not stop the work but should not stay so.
func (a *app) warn(text string) { a.say("warning: " + text) }
