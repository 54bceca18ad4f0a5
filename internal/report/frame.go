package report

import (
	"fmt"
	"strings"
	"time"
)

// look is what decides how a frame is drawn.
type look struct {
	width, height int
	color         bool
	now           time.Time
}

// The cells that each part of a line takes, with the gap before it. The bar takes what is left, and the label gives way
// so that even 80 columns have one; on a narrow terminal the bar goes first, then the other parts from the right.
const (
	gap        = 2
	readCells  = gap + 8
	rateCells  = gap + 10
	leftCells  = gap + 11
	stateCells = gap + 8
	minBar     = 6
	maxBar     = 30
	minLabel   = 8
	maxLabel   = 40
)

// frame draws the board as lines that fit the terminal: one per component and a total. When there are more components
// than lines those that run come first, and the rest is counted.
func (b *board) frame(l look) []string {
	shown, hidden := b.choose(max(l.height-3, 3))
	label := minLabel
	for _, r := range shown {
		label = max(label, min(Width(r.label()), maxLabel))
	}
	label = max(min(label, l.labelRoom()), minLabel)
	lines := make([]string, 0, len(shown)+2)
	for _, r := range shown {
		lines = append(lines, r.draw(l, label))
	}
	if hidden > 0 {
		lines = append(lines, cut(fmt.Sprintf("… %d more", hidden), l.width-1))
	}
	return append(lines, b.drawTotal(l, label))
}

// labelRoom is what the other parts leave for labels: all of them if that is enough for a word, else the most
// important two.
func (l look) labelRoom() int {
	const narrow = 16
	if room := l.width - 1 - readCells - rateCells - leftCells - stateCells - gap - minBar; room >= narrow {
		return room
	}
	return l.width - 1 - readCells - stateCells
}

// choose picks up to most rows in their order: all if they fit, else those that run, then failures, then those that
// wait.
func (b *board) choose(most int) (shown []*row, hidden int) {
	if len(b.rows) <= most {
		return b.rows, 0
	}
	picked := map[*row]bool{}
	for _, wanted := range []func(*row) bool{
		func(r *row) bool { return r.phase == running },
		func(r *row) bool { return r.phase == finished && r.state != "good" },
		func(r *row) bool { return r.phase == waiting },
	} {
		for _, r := range b.rows {
			if len(picked) < most && wanted(r) {
				picked[r] = true
			}
		}
	}
	for _, r := range b.rows {
		if picked[r] {
			shown = append(shown, r)
		}
	}
	return shown, len(b.rows) - len(shown)
}

// draw is the line of one component.
func (r *row) draw(l look, label int) string {
	eta := ""
	if left, ok := r.left(l.now); ok {
		eta = Span(left) + " left"
	} else if r.phase == finished {
		eta = Span(r.took)
	}
	state, color := r.status()
	return l.assemble(parts{label, r.label(), Size(r.read), Rate(r.rate(l.now)), eta, r.done(), state, color})
}

func (r *row) status() (text, color string) {
	switch r.phase {
	case waiting:
		return "waiting", dim
	case running:
		return "running", ""
	}
	switch r.state {
	case "good", "complete":
		return r.state, green
	case "failed":
		return r.state, red
	case "skipped":
		return r.state, dim
	}
	return r.state, yellow
}

// done is the part that is done, or less than 0 when the whole is not known.
func (r *row) done() float64 {
	if r.phase != running || r.total <= 0 {
		return -1
	}
	return float64(min(r.read, r.total)) / float64(r.total)
}

// drawTotal is the last line: everything together, how many are done, and the time that passed.
func (b *board) drawTotal(l look, label int) string {
	sum := b.total()
	passed := b.passed(l.now)
	_, _, done := b.count()
	speed := perSecond(sum.read, passed)
	eta := Span(passed)
	if speed > 0 && sum.total > sum.read {
		eta = Span(seconds(float64(sum.total-sum.read)/speed)) + " left"
	}
	state := fmt.Sprintf("%d/%d", done, len(b.rows))
	return l.assemble(parts{label, "total", Size(sum.read), Rate(speed), eta, sum.done(), state, bold})
}

// parts are what a line is made of.
type parts struct {
	label            int // cells of the name
	name             string
	read, rate, left string
	done             float64
	state, color     string
}

// assemble lays a line out within the terminal's width, leaving out what does not fit. The last cell stays free: some
// terminals wrap when it is filled.
func (l look) assemble(p parts) string {
	room := l.width - 1 - p.label - stateCells
	line := pad(cut(p.name, p.label), p.label, false)
	for _, part := range []struct {
		text  string
		cells int
	}{{p.read, readCells}, {p.rate, rateCells}, {p.left, leftCells}} {
		if room < part.cells {
			break
		}
		room -= part.cells
		line += pad(part.text, part.cells, true)
	}
	if room >= gap+minBar {
		line += strings.Repeat(" ", gap) + bar(p.done, min(room-gap, maxBar))
	}
	line = cut(line, l.width-1)
	state := cut(p.state, l.width-1-gap-Width(line))
	return line + strings.Repeat(" ", gap) + paint(state, p.color, l.color)
}

// bar shows a part between 0 and 1; one that is not known leaves the place blank.
func bar(part float64, cells int) string {
	if part < 0 {
		return strings.Repeat(" ", cells)
	}
	full := int(part * float64(cells))
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

// colors takes every colour out of a line.
var colors = strings.NewReplacer(reset, "", bold, "", dim, "", red, "", green, "", yellow, "")

func paint(s, color string, on bool) string {
	if !on || color == "" {
		return s
	}
	return color + s + reset
}
