package vault

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pieces cuts data that comes in parts of at most part bytes.
func pieces(data []byte, part int) (sizes []int) {
	var c cutter
	size := 0
	for len(data) > 0 {
		n, full := c.next(data[:min(part, len(data))])
		size += n
		data = data[n:]
		if full {
			sizes = append(sizes, size)
			size = 0
		}
	}
	return append(sizes, size)
}

func TestCutDoesNotDependOnHowTheDataComes(t *testing.T) {
	data := noise(6<<20, 1)
	want := pieces(data, len(data))
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.IntRange(1000, 1<<20).Draw(t, "part")
		if got := pieces(data, part); !slices.Equal(got, want) {
			t.Fatalf("parts of %d bytes make pieces %v, one makes %v", part, got, want)
		}
	})
}

func TestCutSizes(t *testing.T) {
	for name, data := range map[string][]byte{"noise": noise(32<<20, 2), "zeros": make([]byte, 5<<20)} {
		sizes := pieces(data, 1<<16)
		sum := 0
		for i, s := range sizes {
			sum += s
			if s > mostPlain || s < leastPlain && i < len(sizes)-1 {
				t.Errorf("%s: piece %d has %d bytes", name, i, s)
			}
		}
		if mean := sum / len(sizes); sum != len(data) || name == "noise" && (mean < 400<<10 || mean > 640<<10) {
			t.Errorf("%s: %d pieces of %d bytes on average, %d in all", name, len(sizes), mean, sum)
		}
	}
}

func TestCutFindsItsWayAfterAnInsertion(t *testing.T) {
	data := noise(16<<20, 3)
	known := map[string]bool{}
	for _, p := range parts(data) {
		known[string(p)] = true
	}
	changed := slices.Concat(data[:5<<20], []byte("a row more"), data[5<<20:])
	fresh := 0
	for _, p := range parts(changed) {
		if !known[string(p)] {
			fresh++
		}
	}
	if fresh == 0 || fresh > 3 {
		t.Errorf("an insertion made %d new pieces, want one or few", fresh)
	}
}

func parts(data []byte) (out [][]byte) {
	for _, n := range pieces(data, len(data)) {
		out = append(out, data[:n])
		data = data[n:]
	}
	return out
}

func BenchmarkCut(b *testing.B) {
	data := noise(16<<20, 4)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		pieces(data, 1<<16)
	}
}
