package retention

import (
	"maps"
	"slices"
	"time"

	"holdfast/internal/point"
)

// View is what a plan saw, for the next one to compare with. It stands in the vault, so that every host has the same.
type View struct {
	At     time.Time            `json:"at"`
	Points []string             `json:"points"` // all that there were
	Sizes  map[string]Size      `json:"sizes"`  // by source
	Gone   map[string]time.Time `json:"gone"`   // since when components are known to be gone at their source
	// When components that have had no good copy since were last named by a point, and when one last tried to capture them.
	Seen  map[string]time.Time `json:"seen"`
	Tried map[string]time.Time `json:"tried"`
}

// Size is how much of a source was in the newest point with all of it.
type Size struct {
	Components int   `json:"components"`
	Bytes      int64 `json:"bytes,omitempty"` // 0: not known
}

// view is what the next plan is to know.
func (t *table) view() View {
	v := View{
		At: t.Now.UTC(), Points: []string{}, Sizes: map[string]Size{},
		Gone: map[string]time.Time{}, Seen: map[string]time.Time{}, Tried: map[string]time.Time{},
	}
	if t.View != nil {
		maps.Copy(v.Sizes, t.View.Sizes)
	}
	for i := range t.rows {
		v.Points = append(v.Points, t.rows[i].ID)
	}
	slices.Sort(v.Points)
	for _, n := range t.names {
		t.known[n].tell(&v, n.String(), t.rows)
	}
	for _, source := range t.sources() {
		if whole := t.counting(t.whole[source]); len(whole) > 0 {
			v.Sizes[source] = t.rows[whole[0]].size(source)
		}
	}
	return v
}

// tell notes what points that may leave say of a component.
func (h *history) tell(v *View, name string, rows []row) {
	if !h.gone.IsZero() {
		v.Gone[name] = h.gone.UTC()
	}
	var good time.Time
	if len(h.good) > 0 {
		good = rows[h.good[0]].Started
	}
	if h.seen.After(good) {
		v.Seen[name] = h.seen.UTC()
	}
	if h.tried.After(good) {
		v.Tried[name] = h.tried.UTC()
	}
}

func (r *row) size(source string) Size {
	s := Size{Bytes: r.Bytes[source]}
	for _, c := range r.Components {
		if c.Source == source && c.State == point.Good {
			s.Components++
		}
	}
	return s
}

// compared is how many good runs before the newest one are asked where no plan has seen any.
const compared = 7

// sizes returns what the newest good run of a source holds and what it is to be compared with: what the last plan saw,
// else the most that the runs just before it held.
func (t *table) sizes(source string) (now, before Size, ok bool) {
	whole := t.counting(t.whole[source])
	if len(whole) == 0 {
		return now, before, false
	}
	now = t.rows[whole[0]].size(source)
	if t.View != nil {
		if before, ok = t.View.Sizes[source]; ok {
			return now, before, true
		}
	}
	for _, i := range whole[1:min(len(whole), compared+1)] {
		s := t.rows[i].size(source)
		before = Size{max(before.Components, s.Components), max(before.Bytes, s.Bytes)}
	}
	return now, before, len(whole) > 1
}
