package coverage

import (
	"fmt"
	"strings"
	"time"

	"holdfast/internal/report"
)

// LateMark follows an age that is more than was promised.
const LateMark = " LATE"

// Head names the columns of a row of the overview.
func (o Overview) Head() []string {
	head := []string{"COMPONENT", "NEWEST GOOD COPY"}
	for _, t := range o.Tiers {
		head = append(head, "AGE IN "+strings.ToUpper(t.Tier))
	}
	return append(head, "COPIES", "OFFSITE", "LOCKED UNTIL", "VERIFIED", "DRILLED", "LAST RUN")
}

// Row is what is shown of a component: its newest good copy, how old that is in each tier, and where its copies lie.
func (x Component) Row() []string {
	good := "none"
	if x.Point != "" {
		good = x.Point
	}
	row := []string{strings.TrimSpace(x.Source + " " + x.Component), good}
	for _, c := range x.Tiers {
		row = append(row, ageText(c))
	}
	last := strings.Trim(x.Last+": "+x.Reason, ": ")
	if x.Gone {
		last = "gone at its source"
	}
	return append(row, fmt.Sprint(x.Copies), yesNo(x.Offsite), dayText(x.LockedUntil, "no"), verifiedText(x), dayText(x.Drilled, "never"), last)
}

// Troubled reports whether a component's row says of something that it should not be so.
func (x Component) Troubled() bool {
	if x.Damaged || x.Reason != "" && !x.Gone {
		return true
	}
	for _, c := range x.Tiers {
		if c.Late || c.Damaged {
			return true
		}
	}
	return false
}

// Table is the rows of all components.
func (o Overview) Table() *report.Table {
	head := o.Head()
	t := report.NewTable(head...).AlignRight(append(head[2:2+len(o.Tiers):2+len(o.Tiers)], "COPIES")...)
	for _, x := range o.Components {
		t.Row(x.Row()...)
	}
	return t
}

func ageText(c Copy) string {
	text := "none"
	if c.Point != "" {
		text = report.Span(time.Duration(c.AgeSeconds * float64(time.Second)))
	}
	if c.Late {
		text += LateMark
	}
	return text
}

func verifiedText(x Component) string {
	switch {
	case x.Damaged:
		return "DAMAGED"
	case x.Verified != nil:
		return x.Verified.UTC().Format(time.DateTime)
	}
	return "never"
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func dayText(at *time.Time, never string) string {
	if at == nil {
		return never
	}
	return at.UTC().Format(time.DateOnly)
}
