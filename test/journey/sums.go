package journey

import (
	"slices"
	"testing"

	"holdfast/internal/lab"
)

// Sums returns the checksum of every table on a node, by DB.TABLE; views have none.
func Sums(t testing.TB, l *lab.Lab, node string) map[string]string {
	t.Helper()
	sums, err := l.Checksums(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) < 100 {
		t.Fatalf("only %d tables have checksums: the list is cut", len(sums))
	}
	return sums
}

// SameSums fails the test for every table that differs, leaving out those named.
func SameSums(t testing.TB, want, got map[string]string, except ...string) {
	t.Helper()
	for name, sum := range want {
		if !slices.Contains(except, name) && got[name] != sum {
			t.Errorf("table %s has checksum %q, want %q", name, got[name], sum)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !slices.Contains(except, name) {
			t.Errorf("table %s was not there before", name)
		}
	}
}
