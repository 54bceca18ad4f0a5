package retention

import (
	"cmp"
	"slices"

	"holdfast/internal/config"
)

// law notes what must not leave, whatever the rules say. That the next tier has a copy is asked of each row that may leave.
func (t *table) law() {
	for i := range t.rows {
		t.rows[i].law = t.aboveRules(&t.rows[i])
	}
	if n := len(t.rows); n > 0 {
		r := &t.rows[n-1]
		r.law = append(r.law, Reason{NewestRun, "", "the newest run, whatever came of it"})
	}
	t.newest()
}

// aboveRules tells what of a row itself keeps it.
func (t *table) aboveRules(r *row) (law []Reason) {
	if h, ok := t.Holds[r.ID]; ok {
		law = append(law, Reason{OnHold, "", "on hold: " + h.Reason})
	}
	if r.unknown() {
		law = append(law, Reason{Unknown, "", "what it holds cannot be told"})
	}
	if r.future {
		law = append(law, Reason{Future, "", "it was begun in the future, says the clock"})
	}
	return law
}

// newest keeps of each component the newest copy, and of each source the newest point in which it is whole. One that is
// damaged, or ahead of the clock, is not relied upon: the next one stays with it.
func (t *table) newest() {
	kept := map[int]map[string][]string{} // names of components by row and source
	for _, n := range t.names {
		h := t.known[n]
		if t.tombstoneExpired(n, h) {
			continue
		}
		for _, i := range t.relied(h.good) {
			if kept[i] == nil {
				kept[i] = map[string][]string{}
			}
			kept[i][n.source] = append(kept[i][n.source], n.component)
		}
	}
	for i, sources := range kept {
		for source, names := range sources {
			t.rows[i].law = append(t.rows[i].law, Reason{Newest, source, "newest copy of " + several(names)})
		}
	}
	for source, rows := range t.whole {
		for _, i := range t.relied(rows) {
			t.rows[i].law = append(t.rows[i].law, Reason{Newest, source, "newest point with all of it"})
		}
	}
	for i := range t.rows {
		slices.SortStableFunc(t.rows[i].law, byRuleAndSource)
	}
}

func byRuleAndSource(a, b Reason) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Source, b.Source))
}

// relied returns rows, the newest first, up to the first that can be relied upon.
func (t *table) relied(rows []int) []int {
	for n, i := range rows {
		if t.rows[i].counts() {
			return rows[:n+1]
		}
	}
	return rows
}

// tombstoneExpired reports whether a component is gone at its source for longer than the term of the last tier.
func (t *table) tombstoneExpired(n name, h *history) bool {
	term := t.Last.For(n.source).Term()
	return !h.gone.IsZero() && term > 0 && !t.Now.Before(h.gone.Add(term))
}

// settle lets go what no rule wants and the law does not keep.
func (t *table) settle() {
	for i := range t.rows {
		r := &t.rows[i]
		switch {
		case len(r.wanted)+len(r.law) > 0:
		case len(r.holds) == 0:
			r.leaves = []Reason{{NothingGood, "", "nothing in it can be restored"}}
		case !t.safeNext(r):
			r.law = append(r.law, Reason{NextTier, "", "tier " + t.Next.Tier + " has no verified copy of it yet"})
		default:
			r.leaves = append([]Reason{{Due, "", "no rule wants it, begun " + span(t.Now.Sub(r.Started)) + " ago"}}, t.safeReason(r)...)
		}
	}
}

// safeNext reports whether the next tier has what leaves with a row, or has had it for as long as it should.
func (t *table) safeNext(r *row) bool {
	return t.Next == nil || t.Next.Verified[r.ID] || t.Next.Left[r.ID]
}

func (t *table) safeReason(r *row) []Reason {
	switch {
	case t.Next == nil:
		return nil
	case t.Next.Verified[r.ID]:
		return []Reason{{NextTier, "", "tier " + t.Next.Tier + " has a verified copy"}}
	}
	return []Reason{{NextTier, "", "tier " + t.Next.Tier + " wants no copy of it, by its rules"}}
}

// relieve lets more go where the tier runs full, the oldest first, as far as the law lets it: what only rules want and what
// is older than a day, since the space of what is younger does not come back.
func (t *table) relieve() {
	if t.Space == nil {
		return
	}
	short := int64(t.Space.Reserve*float64(t.Space.Capacity)) - t.Space.Free - t.Space.Owed
	for i := range t.rows {
		r := &t.rows[i]
		if len(r.leaves) > 0 {
			short -= r.fresh()
		}
	}
	for i := range t.rows {
		r := &t.rows[i]
		if short <= 0 || t.Now.Sub(r.Started) < config.Day {
			return
		}
		if len(r.leaves)+len(r.law) > 0 || r.fresh() == 0 || !t.safeNext(r) {
			continue
		}
		short -= r.fresh()
		r.leaves = append([]Reason{{Reserve, "", "the tier has less than its reserve of free space"}}, t.safeReason(r)...)
	}
}
