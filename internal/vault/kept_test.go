package vault

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream"
)

// TestKept touches pieces in every way there is; the others are told, and hold what they held.
func TestKept(t *testing.T) {
	v := newVault(t)
	data := make([]byte, 4*testBlock)
	rand.NewChaCha8([32]byte{4}).Read(data)
	first := []edit{{0, 4 * testBlock, data}}
	model := apply(nil, 7*testBlock+100, first)
	parent := stored(t, v, "p1", 7*testBlock+100, Entry{}, first, model)

	s := begin(t, v, "p2", "rbd")
	defer s.Abandon(t.Context())
	i, err := s.Image("rbd/volumes/v.raw", stream.Meta{Mode: 0o600}, ImageOptions{Size: 9 * testBlock, Block: testBlock, Parent: parent})
	check(t, err)
	defer i.Abort()
	check(t, i.Next(testBlock+5, 10)) // within one
	_, err = i.Write(data[:10])
	check(t, err)
	check(t, i.Zero(3*testBlock, testBlock+1)) // all of one, and a byte of the next
	want := []stream.Piece{
		{Extent: stream.Extent{Offset: 0, Length: testBlock}},
		{Extent: stream.Extent{Offset: 2 * testBlock, Length: testBlock}},
		{Extent: stream.Extent{Offset: 5 * testBlock, Length: testBlock}, Zero: true},
		{Extent: stream.Extent{Offset: 6 * testBlock, Length: testBlock}, Zero: true},
		{Extent: stream.Extent{Offset: 7 * testBlock, Length: 100}, Zero: true},
		{Extent: stream.Extent{Offset: 7*testBlock + 100, Length: testBlock}, Zero: true},
		{Extent: stream.Extent{Offset: 8*testBlock + 100, Length: testBlock - 100}, Zero: true},
	}
	if diff := cmp.Diff(want, i.Kept()); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	model = append(model, make([]byte, 2*testBlock)...)
	for _, p := range want {
		if got, err := i.ReadKept(p); err != nil || !bytes.Equal(got, model[p.Offset:p.End()]) {
			t.Errorf("piece at %d: %d bytes, %v", p.Offset, len(got), err)
		}
	}
	if _, err := i.ReadKept(stream.Piece{Extent: stream.Extent{Offset: 5, Length: 5}}); err == nil {
		t.Error("read a piece that there is not")
	}
}

// TestKeptOfShorterImage: a last piece that was cut off is not as it was.
func TestKeptOfShorterImage(t *testing.T) {
	v := newVault(t)
	data := make([]byte, 2*testBlock)
	rand.NewChaCha8([32]byte{5}).Read(data)
	first := []edit{{0, 2 * testBlock, data}}
	parent := stored(t, v, "p1", 2*testBlock, Entry{}, first, apply(nil, 2*testBlock, first))
	s := begin(t, v, "p2", "rbd")
	defer s.Abandon(t.Context())
	i, err := s.Image("rbd/volumes/v.raw", stream.Meta{Mode: 0o600}, ImageOptions{Size: testBlock + 9, Block: testBlock, Parent: parent})
	check(t, err)
	defer i.Abort()
	want := []stream.Piece{{Extent: stream.Extent{Offset: 0, Length: testBlock}}}
	if diff := cmp.Diff(want, i.Kept()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
