package vault

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/point"
	"holdfast/internal/stream"
)

func TestBlockSize(t *testing.T) {
	for size, want := range map[int64]int64{
		0: leastBlock, 1: leastBlock, 32 << 30: leastBlock, 128 << 30: leastBlock, 128<<30 + 1: 1 << 20,
		256 << 30: 1 << 20, 1 << 40: mostBlock, 16 << 40: mostBlock,
	} {
		if got := BlockSize(size); got != want {
			t.Errorf("an image of %d bytes has pieces of %d, want %d", size, got, want)
		}
	}
}

const testBlock = 64 << 10

// edit is a change of an image: bytes, or zeros where data is nil.
type edit struct {
	at, length int64
	data       []byte
}

// drawEdits makes ascending extents in an image of size bytes.
func drawEdits(t *rapid.T, size int64) (edits []edit) {
	for at := int64(0); ; {
		at += rapid.Int64Range(0, 3*testBlock).Draw(t, "gap")
		if at >= size {
			return edits
		}
		length := min(rapid.SampledFrom([]int64{1, 512, 4096, testBlock - 1, testBlock, testBlock + 1, 3 * testBlock}).Draw(t, "length"), size-at)
		e := edit{at: at, length: length}
		if rapid.Bool().Draw(t, "data") {
			e.data = make([]byte, length)
			dice := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
			dice.Read(e.data)
		}
		edits = append(edits, e)
		at += length
	}
}

// apply makes the edits to a copy of the model.
func apply(model []byte, size int64, edits []edit) []byte {
	after := make([]byte, size)
	copy(after, model)
	for _, e := range edits {
		clear(after[e.at : e.at+e.length])
		copy(after[e.at:], e.data)
	}
	return after
}

func writeImage(s *Session, size int64, parent Entry, edits []edit) error {
	i, err := s.Image("rbd/volumes/v.raw", stream.Meta{Mode: 0o600}, ImageOptions{Size: size, Block: testBlock, Parent: parent})
	if err != nil {
		return err
	}
	for _, e := range edits {
		if e.data == nil {
			err = i.Zero(e.at, e.length)
		} else if err = i.Next(e.at, e.length); err == nil {
			_, err = io.Copy(i, io.LimitReader(bytes.NewReader(e.data), e.length)) // in pieces of its own choice
		}
		if err != nil {
			return err
		}
	}
	return i.Close()
}

// TestImages writes images on top of each other, longer and shorter, and reads each back as a model says.
func TestImages(t *testing.T) {
	v := newVault(t)
	check(t, flag.Set("rapid.checks", "8")) // each seals several points
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		var model []byte
		var parent Entry
		for n := range rapid.IntRange(1, 4).Draw(t, "images") {
			size := rapid.SampledFrom([]int64{0, 1, testBlock, 3*testBlock + 5, 8 * testBlock, 20*testBlock - 1}).Draw(t, "size")
			edits := drawEdits(t, size)
			model = apply(model, size, edits)
			parent = stored(t, v, fmt.Sprintf("p%d-%d", run, n), size, parent, edits, model)
		}
	})
	if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// TestShorterImage cuts an image off within a piece, and writes into what is left of that piece.
func TestShorterImage(t *testing.T) {
	v := newVault(t)
	data := make([]byte, 4*testBlock)
	rand.NewChaCha8([32]byte{2}).Read(data)
	var model []byte
	var parent Entry
	for n, step := range []struct {
		size  int64
		edits []edit
	}{
		{4 * testBlock, []edit{{0, 4 * testBlock, data}}},
		{3*testBlock - 9, nil},
		{2*testBlock + 100, []edit{{5, 5, data[:5]}, {2*testBlock + 10, 5, data[:5]}}},
		{testBlock + 50, []edit{{testBlock + 20, 10, nil}}},
		{2 * testBlock, nil}, // longer again: zeros
		{7, []edit{{0, 7, nil}}},
		{0, nil},
	} {
		model = apply(model, step.size, step.edits)
		parent = stored(t, v, fmt.Sprintf("p%d", n), step.size, parent, step.edits, model)
	}
}

// tb is a test, or one of the many that rapid makes of it.
type tb interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// stored seals a point with an image, compares it with the model, and returns it as a parent for the next.
func stored(t tb, v *Vault, id string, size int64, parent Entry, edits []edit, model []byte) Entry {
	t.Helper()
	s, err := v.Begin(t.Context(), id, "rbd")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abandon(t.Context())
	if err := writeImage(s, size, parent, edits); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), map[string]string{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.SealPoint(t.Context(), goodPoint(id, "rbd", "rbd/volumes/v.raw")); err != nil {
		t.Fatal(err)
	}
	fsys, err := v.FS(t.Context(), id, "rbd")
	if err != nil {
		t.Fatal(err)
	}
	got, err := fs.ReadFile(fsys, "rbd/volumes/v.raw")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, model) {
		t.Fatalf("image %s of %d bytes differs first at %d", id, size, firstDifference(got, model))
	}
	entry, err := fsys.Entry("rbd/volumes/v.raw")
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestImageCost writes little of a large image, and then changes little of that.
func TestImageCost(t *testing.T) {
	v := newVault(t)
	const size = 64 << 30
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	s := begin(t, v, "p1", "rbd")
	check(t, writeImage(s, size, Entry{}, []edit{{3 << 20, 1 << 20, data}, {40 << 30, 1 << 20, data}}))
	if full := seal(t, s).NewBytes; full > 2<<20+256<<10 {
		t.Errorf("two pieces of 1 MiB with equal bytes in a large image cost %d bytes", full)
	}
	check(t, v.SealPoint(t.Context(), goodPoint("p1", "rbd", "rbd/volumes/v.raw")))
	fsys, err := v.FS(t.Context(), "p1", "rbd")
	check(t, err)
	parent, err := fsys.Entry("rbd/volumes/v.raw")
	check(t, err)
	s = begin(t, v, "p2", "rbd")
	check(t, writeImage(s, size, parent, []edit{{3<<20 + 4096, 4096, data[:4096]}}))
	if increment := seal(t, s).NewBytes; increment > testBlock+600<<10 {
		t.Errorf("4 KiB in a large image cost %d bytes", increment)
	}
}

func TestImageRefuses(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "rbd")
	for _, c := range []struct {
		name string
		do   func(i *Image) error
	}{
		{"beyond the end", func(i *Image) error { return i.Next(testBlock-1, 2) }},
		{"before the last extent", func(i *Image) error {
			check(t, i.Zero(10, 10))
			return i.Zero(19, 1)
		}},
		{"more than the extent", func(i *Image) error {
			check(t, i.Next(0, 1))
			_, err := i.Write([]byte("xy"))
			return err
		}},
		{"an end with bytes missing", func(i *Image) error {
			check(t, i.Next(0, 2))
			return i.Close()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, err := s.Image("rbd/x", stream.Meta{}, ImageOptions{Size: testBlock, Block: testBlock})
			check(t, err)
			defer i.Abort()
			if err := c.do(i); err == nil {
				t.Error("it was not refused")
			}
		})
	}
	if _, err := s.Image("rbd/x", stream.Meta{}, ImageOptions{Size: 1, Block: mostBlock + 1}); err == nil {
		t.Error("a piece that is too large was not refused")
	}
}

// goodPoint is a point with one good component.
func goodPoint(id, source, path string) point.Point {
	return point.Point{ID: id, Cloud: testCloud, Started: testTime, State: point.Complete, Components: []point.Component{good(source, path)}}
}

// TestOpenImage: a component with an image that was never closed is not whole, and a session that ends gives it up.
func TestOpenImage(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "rbd")
	i, err := s.Image("rbd/volumes/v.raw", stream.Meta{}, ImageOptions{Size: testBlock, Block: testBlock})
	check(t, err)
	if _, err := s.Finish("rbd"); err == nil || !strings.Contains(err.Error(), "rbd/volumes/v.raw is still open") {
		t.Errorf("finish: %v", err)
	}
	s.Abandon(t.Context())
	if err := i.Next(0, 1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("an extent after the end: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Errorf("close after the end: %v", err)
	}
}
