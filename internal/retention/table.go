package retention

import (
	"cmp"
	"slices"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/source"
)

// name of a component.
type name struct{ source, component string }

func (n name) String() string { return n.source + " " + n.component }

// history is what the points tell of one component; numbers are those of rows.
type history struct {
	good  []int     // rows with a copy, the newest first
	seen  time.Time // of the newest row that names it
	tried time.Time // of the newest row that tried to capture it, zero when none did
	gone  time.Time // since when it is known to be gone at its source, zero while it is not
}

// row is a point and what becomes of it.
type row struct {
	Held
	wanted []Reason // by rules of the tier
	law    []Reason // above them
	leaves []Reason // why it may leave; none when it stays
	holds  []string // sources of which it has a copy
	future bool
}

func (r *row) unknown() bool { return len(r.Components) == 0 || r.Started.IsZero() }

// counts reports whether the rules that count may choose the row.
func (r *row) counts() bool { return !r.Damaged && !r.future && !r.unknown() }

// table has a row for each point, the oldest first.
type table struct {
	Input
	rows  []row
	known map[name]*history
	names []name           // sorted
	whole map[string][]int // rows in which a source is whole, the newest first
}

func newTable(in Input) *table {
	t := &table{Input: in, known: map[name]*history{}, whole: map[string][]int{}}
	for _, h := range in.Points {
		t.rows = append(t.rows, row{Held: h, future: h.Started.After(in.Now.Add(in.Skew))})
	}
	slices.SortFunc(t.rows, func(a, b row) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	for i := len(t.rows) - 1; i >= 0; i-- {
		t.index(i)
	}
	for n, h := range t.known {
		t.names = append(t.names, n)
		if t.View != nil { // rows that told more may have left
			h.seen, h.tried = later(h.seen, t.View.Seen[n.String()]), later(h.tried, t.View.Tried[n.String()])
		}
		h.gone = t.goneSince(n, h)
	}
	slices.SortFunc(t.names, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.component, b.component))
	})
	return t
}

// index notes what row i, older than all noted before, says.
func (t *table) index(i int) {
	r := &t.rows[i]
	part := map[string]bool{} // sources of which something was left out by request
	for _, c := range r.Components {
		n := name{c.Source, c.Name}
		h := t.known[n]
		if h == nil {
			h = &history{seen: r.Started}
			t.known[n] = h
		}
		if c.State != point.Skipped && h.tried.IsZero() {
			h.tried = r.Started
		}
		if c.State == point.Good {
			h.good = append(h.good, i)
			if !slices.Contains(r.holds, c.Source) {
				r.holds = append(r.holds, c.Source)
			}
		}
		part[c.Source] = part[c.Source] || source.NotAsked(c)
	}
	slices.Sort(r.holds)
	for _, s := range r.holds {
		if !part[s] && r.SourceGood(s) {
			t.whole[s] = append(t.whole[s], i)
		}
	}
}

// goneAfter is how many good runs must miss a component before it counts as gone at its source.
const goneAfter = 3

// goneSince returns since when a component is known to be gone at its source, zero while it is not.
func (t *table) goneSince(n name, h *history) (since time.Time) {
	if missed := t.goodRunsAfter(n.source, h.seen); len(missed) >= goneAfter {
		since = t.rows[missed[len(missed)-goneAfter]].Started
	}
	if t.View == nil {
		return since
	}
	told, ok := t.View.Gone[n.String()]
	if ok && !h.seen.After(told) && (since.IsZero() || told.Before(since)) {
		return told
	}
	return since
}

// goodRunsAfter returns the good runs of a source that were begun after a time, the newest first.
func (t *table) goodRunsAfter(source string, at time.Time) []int {
	var after []int
	for _, run := range t.whole[source] {
		if t.rows[run].Started.After(at) && t.rows[run].counts() {
			after = append(after, run)
		}
	}
	return after
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// decisions are what the rows have come to.
func (t *table) decisions() []Decision {
	all := make([]Decision, 0, len(t.rows))
	for i := range t.rows {
		r := &t.rows[i]
		d := Decision{Point: r.ID, Started: r.Started, State: r.State, Keep: len(r.leaves) == 0, Bytes: r.fresh()}
		if d.Keep {
			d.Reasons = slices.Concat(r.law, r.wanted)
		} else {
			d.Reasons = r.leaves
		}
		all = append(all, d)
	}
	return all
}

// fresh is how many bytes the run brought into the vault, which is about what leaves with it.
func (r *row) fresh() (n int64) {
	for _, c := range r.Components {
		n += c.BytesNew
	}
	return n
}
