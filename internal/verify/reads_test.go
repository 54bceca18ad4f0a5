package verify

import (
	"fmt"
	"os"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// TestEverythingIsReadInTime verifies once a day, and now and then not at all, while packs come: none is unread for longer than was
// promised and the longest pause, and no day reads it all.
func TestEverythingIsReadInTime(t *testing.T) {
	const within, pause = 30 * 24 * time.Hour, 4 * 24 * time.Hour
	r := Reads{Dir: t.TempDir(), Tier: "far"}
	var packs []Pack
	last := map[string]time.Time{}
	for i := range 300 {
		packs = append(packs, Pack{fmt.Sprintf("p%d", i), 20 << 20, start})
	}
	for day := range 100 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		packs = append(packs, Pack{fmt.Sprintf("new%d", day), 20 << 20, now})
		if day%20 > 0 && day%20 <= 3 {
			continue
		}
		due, percent, err := r.Due(packs, now, within)
		if err != nil {
			t.Fatal(err)
		}
		if percent > 30 || len(due) == 0 {
			t.Errorf("day %d: %.1f %% at once, %d packs", day, percent, len(due))
		}
		for _, p := range packs {
			if due[p.ID] {
				last[p.ID] = now
			}
			if at := orTime(last[p.ID], p.Written); now.Sub(at) > within+pause {
				t.Fatalf("day %d: pack %s was last read %v", day, p.ID, at)
			}
		}
		if err := r.Done(packs, now, func(id string) bool { return due[id] }); err != nil {
			t.Fatal(err)
		}
	}
	oldest, err := r.Oldest(packs)
	if err != nil || start.Add(99*24*time.Hour).Sub(oldest) > within+pause {
		t.Errorf("the oldest was read %v, %v", oldest, err)
	}
}

// TestOldestFirst chooses what was unread for the longest, and forgets packs that are gone.
func TestOldestFirst(t *testing.T) {
	r := Reads{Dir: t.TempDir(), Tier: "far"}
	packs := []Pack{{"p1", 1, start}, {"p2", 1, start.Add(-time.Hour)}, {"p3", 1, start.Add(time.Hour)}}
	now := start.Add(24 * time.Hour)
	due, _, err := r.Due(packs, now, 30*24*time.Hour)
	if err != nil || len(due) != 1 || !due["p2"] {
		t.Errorf("due %v, %v", due, err)
	}
	if err := r.Done(packs, now, func(id string) bool { return due[id] }); err != nil {
		t.Fatal(err)
	}
	now = now.Add(24 * time.Hour)
	if due, _, err = r.Due(packs, now, 30*24*time.Hour); err != nil || len(due) != 1 || !due["p1"] {
		t.Errorf("next: due %v, %v", due, err)
	}
	if err := r.Done(packs[:1], now, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(r.file()); err != nil || st.Size() != 2*readEntry {
		t.Errorf("%v, %v", st, err)
	}
}
