package restore

import (
	"slices"
	"strings"
)

// Lines of context around what differs, and how many pairs of lines are compared at most: beyond that, what lies between
// the first and the last difference is told as replaced.
const (
	contextLines = 2
	mostPairs    = 25_000_000
)

// lineDiff returns how two texts differ, by line, with some context: "- " begins a line of the first text alone, "+ " of the
// second, "  " of both. Between parts that are apart stands "...". Equal texts give nothing.
func lineDiff(was, now []byte) []string {
	a, b := splitLines(was), splitLines(now)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head == len(a) && head == len(b) {
		return nil
	}
	lines := prefixed("  ", a[:head])
	lines = append(lines, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	return around(append(lines, prefixed("  ", a[len(a)-tail:])...))
}

func splitLines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func prefixed(mark string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = mark + l
	}
	return out
}

// middle aligns two texts by their longest common subsequence.
func middle(a, b []string) []string {
	if len(a)*len(b) > mostPairs {
		return slices.Concat(prefixed("- ", a), prefixed("+ ", b))
	}
	// common[i][j] is how many lines a[i:] and b[j:] have in common.
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return slices.Concat(out, prefixed("- ", a[i:]), prefixed("+ ", b[j:]))
}

// around leaves the lines that differ and those near them.
func around(lines []string) []string {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] == ' ' {
			continue
		}
		for k := max(0, i-contextLines); k <= min(len(lines)-1, i+contextLines); k++ {
			near[k] = true
		}
	}
	var out []string
	for i, l := range lines {
		if near[i] {
			if i > 0 && !near[i-1] {
				out = append(out, "...")
			}
			out = append(out, l)
		}
	}
	return out
}
