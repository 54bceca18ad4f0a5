package cli

import (
	"testing"

	"holdfast/internal/source"
)

func TestCheckContents(t *testing.T) {
	for n, want := range map[int64]source.Status{0: source.OK, 14_000_000: source.OK, 14_000_001: source.Warn, 50_000_000: source.Warn} {
		if c := checkContents(n); c.Status != want || (c.Mend == "") != (want == source.OK) {
			t.Errorf("%d contents: %+v", n, c)
		}
	}
}
