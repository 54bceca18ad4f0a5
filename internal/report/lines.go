package report

import (
	"fmt"
	"time"

	"holdfast/internal/point"
)

// Line is one component in a closing table.
type Line struct {
	Component string
	Read, New int64
	Seconds   float64
	State     string
	Reason    string
}

// PointLines are the lines of a recovery point. Where many components were left out for the same reason, they share one.
func PointLines(p point.Point) []Line {
	each, many := point.Fold(p.Components)
	lines := make([]Line, len(each))
	for i, c := range each {
		label := row{source: c.Source, name: c.Name}
		lines[i] = Line{label.label(), c.BytesRead, c.BytesNew, c.Seconds, string(c.State), c.Reason}
		if c.State == point.Good {
			lines[i].Reason = "" // why it was taken so, not what went wrong
		}
	}
	for _, m := range many {
		lines = append(lines, Line{Component: fmt.Sprintf("%s (%d)", m.Source, m.Count), State: string(point.Skipped), Reason: m.Reason})
	}
	return lines
}

// Closing is the table that ends a run: what each component read, what of it was new in the vault, how long it took
// and how it ended. took is the wall time of the whole run, in which components ran beside each other.
func Closing(lines []Line, took time.Duration) *Table {
	t := NewTable("COMPONENT", "READ", "NEW IN VAULT", "RATIO", "TIME", "RATE", "STATE").
		AlignRight("READ", "NEW IN VAULT", "RATIO", "TIME", "RATE")
	var read, fresh int64
	for _, l := range lines {
		state := l.State
		if l.Reason != "" {
			state += ": " + l.Reason
		}
		t.Row(l.Component, Size(l.Read), Size(l.New), Ratio(l.Read, l.New), Span(seconds(l.Seconds)),
			Rate(perSecond(l.Read, seconds(l.Seconds))), state)
		read += l.Read
		fresh += l.New
	}
	if len(lines) > 1 {
		t.Row("total", Size(read), Size(fresh), Ratio(read, fresh), Span(took), Rate(perSecond(read, took)))
	}
	return t
}

// lines are the rows of a board as they stand.
func (b *board) lines() []Line {
	lines := make([]Line, len(b.rows))
	for i, r := range b.rows {
		lines[i] = Line{r.label(), r.read, r.fresh, r.took.Seconds(), r.state, ""}
		if r.state != string(point.Good) {
			lines[i].Reason = clean(r.reason)
		}
		if r.phase != finished {
			lines[i].State = "not finished"
		}
	}
	return lines
}
