// Package suggest finds what somebody probably meant to type.
package suggest

import "fmt"

// Nearest returns the candidate closest to word by edit distance, or "" when none is close enough to be a slip of the
// fingers: a third of the word's letters may differ, at least one and at most three. The first of equals wins.
func Nearest(word string, candidates []string) string {
	limit := min(max(len([]rune(word))/3, 1), 3)
	best, bestDistance := "", limit+1
	for _, c := range candidates {
		if d := distance([]rune(word), []rune(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// Hint asks "did you mean" about the nearest candidate, or returns otherwise when nothing is near.
func Hint(word string, candidates []string, otherwise string) string {
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise
}

// distance counts insertions, deletions, substitutions and swaps of neighbours, each as one.
func distance(a, b []rune) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
