package report

import (
	"slices"
	"strings"

	"holdfast/internal/retention"
)

// Retention is the table of what stays in a tier and what leaves it, with the reasons in short: those of a plan say more.
func Retention(p retention.Plan) *Table {
	t := NewTable("POINT", "STARTED", "STATE", "NEW", "PLAN", "WHY").AlignRight("NEW")
	for _, d := range p.Decisions {
		word := "remove"
		if d.Keep {
			word = "keep"
		}
		t.Row(d.Point, d.Started.UTC().Format("2006-01-02 15:04"), string(d.State), Size(d.Bytes), word, Why(d.Reasons))
	}
	return t
}

// Why tells reasons in one line, those of several sources by the rule's name and the sources.
func Why(reasons []retention.Reason) string {
	var parts []string
	told := map[retention.Rule]bool{}
	for _, r := range reasons {
		switch {
		case r.Source == "":
			parts = append(parts, r.Text)
		case !told[r.Rule]:
			told[r.Rule] = true
			parts = append(parts, string(r.Rule)+": "+strings.Join(sourcesOf(reasons, r.Rule), ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// sourcesOf names the sources that a rule speaks of, once each.
func sourcesOf(reasons []retention.Reason, rule retention.Rule) (all []string) {
	for _, r := range reasons {
		if r.Rule == rule && r.Source != "" && !slices.Contains(all, r.Source) {
			all = append(all, r.Source)
		}
	}
	slices.Sort(all)
	return all
}
