package retention

import (
	"fmt"
	"slices"
	"time"

	"holdfast/internal/config"
)

// failedTerm is how long a point stays that holds nothing good, where no age is set: somebody should see it.
const failedTerm = 7 * config.Day

// moment is when a point was begun, by the calendar.
type moment struct {
	time.Time
	day, week, month, year string
}

func momentOf(t time.Time, loc *time.Location) moment {
	t = t.In(loc)
	y, w := t.ISOWeek()
	return moment{t, t.Format(time.DateOnly), fmt.Sprintf("%04d-W%02d", y, w), t.Format("2006-01"), t.Format("2006")}
}

// wants notes which rows the rules of the tier want.
func (t *table) wants(loc *time.Location) {
	when := make([]moment, len(t.rows))
	for i := range t.rows {
		when[i] = momentOf(t.rows[i].Started, loc)
		t.wantByAge(&t.rows[i])
	}
	for _, source := range t.sources() {
		rules := t.Keep.For(source)
		whole := t.counting(t.whole[source])
		for _, c := range choose(rules, when, whole) {
			t.want(c, source, "newest good point")
		}
		t.wantCopies(source, rules, when, whole)
	}
}

// wantByAge wants what is young, each source by its own rule, and failed runs long enough to be seen.
func (t *table) wantByAge(r *row) {
	if r.unknown() {
		return
	}
	age := t.Now.Sub(r.Started)
	if len(r.holds) == 0 {
		term := t.Keep.Age
		if term == 0 {
			term = failedTerm
		}
		if age < term {
			r.wanted = append(r.wanted, Reason{Age, "", "nothing in it is good, and it is told of for " + config.FormatDuration(term)})
		}
		return
	}
	for _, source := range r.holds {
		if term := t.Keep.For(source).Age; term > 0 && age < term {
			r.wanted = append(r.wanted, Reason{Age, source, "begun less than " + config.FormatDuration(term) + " ago"})
		}
	}
}

// wantCopies lets the rules choose for each component among its own copies too, because points in which its source is not
// whole may have them. Those of a component that nobody captures any more wait for no newer ones.
func (t *table) wantCopies(source string, rules config.Rules, when []moment, whole []int) {
	chosen := map[choice][]string{}
	var order []choice
	for _, n := range t.names {
		h := t.known[n]
		if n.source != source || len(t.goodRunsAfter(source, h.tried)) >= goneAfter {
			continue
		}
		copies := t.counting(h.good)
		if slices.Equal(copies, whole) {
			continue
		}
		for _, c := range choose(rules, when, copies) {
			if chosen[c] == nil {
				order = append(order, c)
			}
			chosen[c] = append(chosen[c], n.component)
		}
	}
	for _, c := range order {
		t.want(c, source, "newest copy of "+several(chosen[c]))
	}
}

func (t *table) want(c choice, source, what string) {
	r := &t.rows[c.row]
	if slices.ContainsFunc(r.wanted, func(have Reason) bool { return have.Rule == c.rule && have.Source == source }) {
		return // with all of its source
	}
	r.wanted = append(r.wanted, Reason{c.rule, source, what + " " + c.of})
}

// counting are those of the rows that rules that count may choose.
func (t *table) counting(rows []int) (out []int) {
	for _, i := range rows {
		if t.rows[i].counts() {
			out = append(out, i)
		}
	}
	return out
}

func (t *table) sources() (all []string) {
	for _, n := range t.names {
		if !slices.Contains(all, n.source) {
			all = append(all, n.source)
		}
	}
	return all
}

// choice is a row that a rule has chosen, and what of.
type choice struct {
	rule Rule
	row  int
	of   string
}

// choose applies the rules that count to candidates, rows from the newest to the oldest.
func choose(r config.Rules, when []moment, candidates []int) (all []choice) {
	if len(candidates) == 0 {
		return nil
	}
	newest := when[candidates[0]].Time
	for i, row := range candidates {
		if newest.Sub(when[row].Time) < r.Within {
			all = append(all, choice{Within, row, "less than " + config.FormatDuration(r.Within) + " before the newest one"})
		}
		if i < r.Last {
			all = append(all, choice{Last, row, fmt.Sprintf("among the last %d", r.Last)})
		}
	}
	for _, p := range []struct {
		rule  Rule
		count int
		of    func(moment) string
	}{
		{Daily, r.Daily, func(m moment) string { return m.day }},
		{Weekly, r.Weekly, func(m moment) string { return m.week }},
		{Monthly, r.Monthly, func(m moment) string { return m.month }},
		{Yearly, r.Yearly, func(m moment) string { return m.year }},
	} {
		all = append(all, periods(p.rule, p.count, p.of, when, candidates)...)
	}
	return all
}

// periods chooses the newest candidate of each of the count newest periods that have one.
func periods(rule Rule, count int, of func(moment) string, when []moment, candidates []int) (all []choice) {
	last := ""
	for _, row := range candidates {
		if len(all) == count {
			break
		}
		if p := of(when[row]); p != last {
			all, last = append(all, choice{rule, row, "of " + p}), p
		}
	}
	return all
}

// several names the first of names and counts the others.
func several(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}
