package report

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Table is text in aligned columns. Columns hold left-aligned text unless Right names them; widths are counted in
// terminal cells.
type Table struct {
	Head  []string
	Right []int // columns aligned right: numbers, sizes, times
	// Paint, if not nil, says what stands before and after a cell to colour it.
	Paint func(cell string) (before, after string)
	rows  [][]string
}

// NewTable makes a table with a head.
func NewTable(head ...string) *Table { return &Table{Head: head} }

// AlignRight aligns the columns with these heads to the right and returns t.
func (t *Table) AlignRight(heads ...string) *Table {
	for _, h := range heads {
		for i, have := range t.Head {
			if h == have {
				t.Right = append(t.Right, i)
			}
		}
	}
	return t
}

// Row adds a row; cells that are missing at its end are empty.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = clean(c)
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows without the head.
func (t *Table) Len() int { return len(t.rows) }

// String is the whole table, a line per row, without trailing blanks.
func (t *Table) String() string {
	var b strings.Builder
	t.WriteTo(&b)
	return b.String()
}

// WriteTo writes the table to w.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	widths := t.widths()
	var b strings.Builder
	if len(t.Head) > 0 {
		t.line(&b, t.Head, widths)
	}
	for _, row := range t.rows {
		t.line(&b, row, widths)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (t *Table) widths() []int {
	var widths []int
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell))
		}
	}
	return widths
}

func (t *Table) line(b *strings.Builder, row []string, widths []int) {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		padded := pad(cell, widths[i], t.isRight(i))
		if t.Paint != nil {
			before, after := t.Paint(cell)
			padded = strings.Replace(padded, cell, before+cell+after, 1)
		}
		line.WriteString(padded)
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

func (t *Table) isRight(column int) bool {
	for _, r := range t.Right {
		if r == column {
			return true
		}
	}
	return false
}

// pad fills s with blanks up to cells.
func pad(s string, cells int, right bool) string {
	fill := strings.Repeat(" ", max(cells-Width(s), 0))
	if right {
		return fill + s
	}
	return s + fill
}

// Width is how many cells of a terminal s takes: two for wide characters of East Asia, none for marks that combine
// with the character before them.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1f300 && r <= 0x1faff: // pictographs
		return 2
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens s to at most cells, marking with … that something is gone.
func cut(s string, cells int) string {
	if Width(s) <= cells {
		return s
	}
	if cells <= 0 {
		return ""
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > cells-1 {
			return s[:i] + "…"
		}
	}
	return s
}
