package point

// LeftOut counts components of a source that were left out for the same reason.
type LeftOut struct {
	Source, Reason string
	Count          int
}

// fewSkipped is how many components may be left out for one reason and each still be worth a line.
const fewSkipped = 4

// Fold parts components into those to tell one by one and those of which too many were left out, by nobody's fault and
// for the same reason.
func Fold(all []Component) (each []Component, many []LeftOut) {
	type why struct{ source, reason string }
	count := map[why]int{}
	for _, c := range all {
		if c.State == Skipped && !c.Required {
			count[why{c.Source, c.Reason}]++
		}
	}
	for _, c := range all {
		w := why{c.Source, c.Reason}
		switch n := count[w]; {
		case c.State != Skipped || c.Required || n > 0 && n <= fewSkipped:
			each = append(each, c)
		case n > 0:
			many = append(many, LeftOut{c.Source, c.Reason, n})
			count[w] = 0
		}
	}
	return each, many
}
