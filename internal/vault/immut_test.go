package vault

import (
	"errors"
	"strings"
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
		if got := (lockRecord{Extended: now().Add(-ago)}).due(); got != want {
			t.Errorf("extended %s ago, due %v", ago, got)
		}
	}
}

// TestSealsOfIndexes tells copies of indexes by their seals, and lets the bytes live on where they stand for nothing.
func TestSealsOfIndexes(t *testing.T) {
	seal, other := strings.Repeat("0a", 16), strings.Repeat("0b", 16)
	all := func(ids ...blob.ID) (kept []Kept) {
		for _, id := range ids {
			kept = append(kept, Kept{ID: id})
		}
		return kept
	}
	real, wide := blob.ID("xs3_ffff"+seal+"-s1-c1"), blob.ID("xr0_9_"+strings.ToUpper(seal)+"-s2-c1")
	names := bySeal(all(real, wide, blob.ID("xr0_4_"+other+"-s1-c1"), "xe4", "xr0_9_short-s1-c1", "xr0_8_short-s1-c1"))
	for id, want := range map[blob.ID]bool{real: true, wide: true, blob.ID("xr0_4_" + other + "-s1-c1"): false, "xe4": false, "xr0_9_short-s1-c1": false} {
		if names.forged(id) != want || names.harmless(id) {
			t.Errorf("%s: forged %v, want %v; harmless %v", id, names.forged(id), want, names.harmless(id))
		}
	}
	narrow := harmlessName(wide)
	if names = bySeal(all(real, wide, narrow)); !names.forged(real) || !names.harmless(real) || names.forged(narrow) {
		t.Errorf("beside %s, %s is not harmless", narrow, real)
	}
}

// TestFailuresInARow: what fails among others that do not is no reason to give the store up, however much it is.
func TestFailuresInARow(t *testing.T) {
	var f failures
	spoilt := errors.New("spoilt")
	for range 10 * mostFailed {
		for range mostFailed - 1 {
			check(t, f.add(spoilt))
		}
		check(t, f.add(nil))
	}
	if err := f.err(); !errors.Is(err, spoilt) {
		t.Errorf("told is %v", err)
	}
	for range mostFailed - 1 {
		check(t, f.add(spoilt))
	}
	if f.add(spoilt) == nil {
		t.Error("a store that never answers is not given up")
	}
}
