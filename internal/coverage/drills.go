package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
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

// judgeDrills says whether copies of the database were proven as lately as promised, and what the last drill of each shard in each tier found.
func judgeDrills(all []Component, drills []point.Drill, p config.Promises, now time.Time) (found []Broken) {
	if len(drills) == 0 && p.Drill == 0 {
		return nil
	}
	limit := cmp.Or(p.Drill, config.DefaultDrill)
	var late []string
	there := map[string]bool{} // the shards
	for _, x := range all {
		if !drillable(x) {
			continue
		}
		there[shardOf(x.Component)] = true
		if x.Drilled == nil || tooOld(*x.Drilled, now, limit) {
			late = append(late, x.Source+" "+x.Component)
		}
	}
	if len(late) > 0 {
		found = append(found, Broken{"drill", "", mariadb.SourceName,
			fmt.Sprintf("no drill of the last %s proved %s: holdfast drill mariadb --shard %s", report.Span(limit), these(late), shardOf(late[0]))})
	}
	for _, last := range lastDrills(drills) {
		if last.State == point.Differs && there[strconv.Itoa(last.Shard)] { // of one that is gone no drill would ever find all in order
			found = append(found, Broken{"drill", last.Tier, last.Source,
				fmt.Sprintf("the last drill of shard %d found that point %s in tier %s is not what it should be: holdfast show %s --tier %s",
					last.Shard, last.Point, last.Tier, last.Point, last.Tier)})
		}
	}
	return found
}

// drillable reports whether a component is a copy of a database that there is.
func drillable(x Component) bool {
	return x.Source == mariadb.SourceName && x.Point != "" && !x.Gone && (strings.HasSuffix(x.Component, "/physical") || strings.HasSuffix(x.Component, "/logical"))
}

// shardOf is the number in the name of a shard's copy.
func shardOf(copy string) string {
	_, name, _ := strings.Cut(copy, "shard")
	number, _, _ := strings.Cut(name, "/")
	return number
}

// lastDrills are, of each shard in each tier, the newest that said something of its point.
func lastDrills(drills []point.Drill) (last []point.Drill) {
	for _, d := range slices.Backward(drills) {
		same := func(l point.Drill) bool { return l.Tier == d.Tier && l.Source == d.Source && l.Shard == d.Shard }
		if d.State != point.Undone && !slices.ContainsFunc(last, same) {
			last = append(last, d)
		}
	}
	return last
}
