package serve

import "slices"

// gate lets one at a time use a source or a tier, in the order in which they asked: who waits for something keeps those behind it
// from taking the rest, so that nobody waits for ever.
type gate struct{ tickets []*ticket }

// ticket is a place in the queue.
type ticket struct {
	run  *Run
	uses []string
	open chan struct{} // closed when it is its turn
	mine bool
}

// ask takes a place at the end of the queue.
func (g *gate) ask(r *Run, uses []string) *ticket {
	t := &ticket{run: r, uses: uses, open: make(chan struct{})}
	g.tickets = append(g.tickets, t)
	g.grant()
	return t
}

// leave gives the place up, or ends the turn.
func (g *gate) leave(t *ticket) {
	if i := slices.Index(g.tickets, t); i >= 0 {
		g.tickets = slices.Delete(g.tickets, i, i+1)
	}
	g.grant()
}

func (g *gate) grant() {
	var taken []string
	for _, t := range g.tickets {
		if !t.mine && !overlap(t.uses, taken) {
			t.mine = true
			close(t.open)
		}
		taken = append(taken, t.uses...)
	}
}

// before are the runs that a ticket waits for, in their order.
func (g *gate) before(t *ticket) (runs []*Run) {
	for _, other := range g.tickets {
		if other == t || t.mine {
			break
		}
		if overlap(t.uses, other.uses) {
			runs = append(runs, other.run)
		}
	}
	return runs
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
