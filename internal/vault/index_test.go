package vault

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kopia/kopia/repo/object"
)

func indexOf(t testing.TB) []object.IndirectObjectEntry {
	t.Helper()
	var entries []object.IndirectObjectEntry
	var start int64
	for _, id := range []string{"0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef", "Zfedcba9876543210fedcba9876543210", "0123456789abcdef0123456789abcdef"} {
		parsed, err := object.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, object.IndirectObjectEntry{Start: start, Length: 512 << 10, Object: parsed})
		start += 512 << 10
	}
	return append(entries, object.IndirectObjectEntry{Start: start, Object: entries[0].Object})
}

// TestIndexIsPlainJSON: the index is what any reader of the format expects, and both ways of reading agree.
func TestIndexIsPlainJSON(t *testing.T) {
	entries := indexOf(t)
	want, err := json.Marshal(indirect{"kopia:indirect", entries})
	if err != nil {
		t.Fatal(err)
	}
	got := appendIndex(nil, entries)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	plain, ok := parsePlain(got)
	if diff := cmp.Diff(entries, plain, cmp.Comparer(func(a, b object.ID) bool { return a == b })); !ok || diff != "" {
		t.Errorf("read otherwise: %s", diff)
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, want, "", " "); err != nil {
		t.Fatal(err)
	}
	careful, err := parseIndex(spaced.Bytes())
	if diff := cmp.Diff(entries, careful, cmp.Comparer(func(a, b object.ID) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("read with spaces: %v %s", err, diff)
	}
}

// FuzzIndex: whatever the short way reads, the careful one reads the same.
func FuzzIndex(f *testing.F) {
	f.Add(appendIndex(nil, indexOf(f)))
	f.Add([]byte(`{"stream":"kopia:indirect","entries":[{"s":1,"l":2,"o":"01"},{"l":-2,"o":"01"}]}`))
	f.Add([]byte(`{"stream":"kopia:indirect","entries":[{"o":"0101"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, ok := parsePlain(data)
		if !ok {
			return
		}
		var ind indirect
		if err := json.Unmarshal(data, &ind); err != nil {
			t.Fatalf("only the short way reads %q: %v", data, err)
		}
		if diff := cmp.Diff(ind.Entries, plain, cmp.Comparer(func(a, b object.ID) bool { return a == b })); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
	})
}
