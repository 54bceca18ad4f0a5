package vault

import (
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"
)

// TestReplacedIndexes tells the indexes that maintenance deletes from those that somebody else did.
func TestReplacedIndexes(t *testing.T) {
	for _, c := range []struct {
		what    string
		id      blob.ID
		present []blob.ID
		hidden  []blob.ID
		want    bool
	}{
		{"an index of its epoch stands for it", "xn3_a-s1-c1", []blob.ID{"xs3_b-s1-c1"}, nil, true},
		{"an index of a range of epochs stands for it", "xn3_a-s1-c1", []blob.ID{"xr0_4_b-s1-c1"}, nil, true},
		{"none does", "xn3_a-s1-c1", []blob.ID{"xs2_b-s1-c1", "xr0_2_b-s1-c1", "xn3_c-s1-c1"}, nil, false},
		{"what stands for it is deleted too, and comes back", "xn3_a-s1-c1", nil, []blob.ID{"xs3_b-s1-c1"}, true},
		{"that of an epoch, by a range", "xs3_a-s1-c1", []blob.ID{"xr3_5_b-s1-c1"}, nil, true},
		{"that of an epoch, by another of it", "xs3_a-s1-c1", []blob.ID{"xs3_b-s1-c1"}, nil, false},
		{"a range by a longer one", "xr0_4_a-s1-c1", []blob.ID{"xr0_9_b-s1-c1"}, nil, true},
		{"a range by one as long", "xr0_4_a-s1-c1", []blob.ID{"xr0_4_b-s1-c1"}, nil, false},
		{"a mark by a later one", "xe4", []blob.ID{"xe5"}, nil, true},
		{"a mark by an earlier one", "xe4", []blob.ID{"xe3"}, nil, false},
		{"a mark by one that is deleted too", "xe4", nil, []blob.ID{"xe5"}, false},
	} {
		indexes := append(append([]blob.ID{}, c.present...), c.hidden...)
		if got := replaced(c.id, append(indexes, c.id), len(c.present)); got != c.want {
			t.Errorf("%s: %s replaced = %v, want %v", c.what, c.id, got, c.want)
		}
	}
}

// TestLocksAreDue: after a day, and when the record of the last time is ahead of the clock.
func TestLocksAreDue(t *testing.T) {
	for ago, want := range map[time.Duration]bool{time.Hour: false, 23 * time.Hour: false, 25 * time.Hour: true, -time.Hour: true, -1000 * time.Hour: true} {
		if got := (lockRecord{now().Add(-ago)}).due(); got != want {
			t.Errorf("extended %s ago, due %v", ago, got)
		}
	}
}
