package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/report"
	"holdfast/internal/source/mariadb"
)

// coverDrills says of every component when a drill last proved it, and returns the drills of all tiers, oldest first.
func coverDrills(all []Component, tiers []Tier) (drills []point.Drill) {
	for _, t := range tiers {
		drills = append(drills, t.Drills...)
	}
	slices.SortStableFunc(drills, func(a, b point.Drill) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	for i := range all {
		all[i].Drilled = point.LastProven(drills, all[i].Source, all[i].Component)
	}
	return drills
}

// judgeDrills says whether copies of the database were proven as lately as promised, and what the last drill found.
func judgeDrills(all []Component, drills []point.Drill, p config.Promises, now time.Time) (found []Broken) {
	if len(drills) == 0 && p.Drill == 0 {
		return nil
	}
	limit := cmp.Or(p.Drill, config.DefaultDrill)
	var late []string
	for _, x := range all {
		if drillable(x) && (x.Drilled == nil || tooOld(*x.Drilled, now, limit)) {
			late = append(late, x.Source+" "+x.Component)
		}
	}
	if len(late) > 0 {
		found = append(found, Broken{"drill", "", mariadb.SourceName,
			fmt.Sprintf("no drill of the last %s proved %s: holdfast drill mariadb", report.Span(limit), these(late))})
	}
	if last, ok := lastDrill(drills); ok && last.State == point.Differs {
		found = append(found, Broken{"drill", last.Tier, last.Source,
			fmt.Sprintf("the last drill found that point %s in tier %s is not what it should be: holdfast show %s --tier %s", last.Point, last.Tier, last.Point, last.Tier)})
	}
	return found
}

// drillable reports whether a component is a copy of a database that there is.
func drillable(x Component) bool {
	return x.Source == mariadb.SourceName && x.Point != "" && !x.Gone && (strings.HasSuffix(x.Component, "/physical") || strings.HasSuffix(x.Component, "/logical"))
}

// lastDrill is the newest that said something of its point.
func lastDrill(drills []point.Drill) (point.Drill, bool) {
	for _, d := range slices.Backward(drills) {
		if d.State != point.Undone {
			return d, true
		}
	}
	return point.Drill{}, false
}
