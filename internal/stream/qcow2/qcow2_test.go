package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
)

// sample is a raw image with data in random extents, aligned to unit; the rest is zeros.
func sample(r *rand.Rand, size, unit int64, extents int) ([]byte, []Extent) {
	raw := make([]byte, size)
	var all []Extent
	units := (size + unit - 1) / unit
	for _, at := range r.Perm(int(units))[:min(int64(extents), units)] {
		all = append(all, Extent{int64(at) * unit, min(unit, size-int64(at)*unit)})
	}
	slices.SortFunc(all, func(a, b Extent) int { return int(a.Offset - b.Offset) })
	for _, e := range all {
		for n := e.Offset; n < e.Offset+e.Length; n += 8 {
			raw[n] = byte(r.Uint32() | 1)
		}
	}
	return raw, all
}

// whole reads all of a file.
func whole(t testing.TB, i *Image) []byte {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(i, 0, i.Size()))
	if err != nil || int64(len(data)) != i.Size() {
		t.Fatalf("read %d bytes of %d: %v", len(data), i.Size(), err)
	}
	return data
}

func qemu(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		t.Errorf("qemu-img %v: %v\n%s", args, err, out)
	}
}

// TestQEMUReadsWhatTheImageHolds lets QEMU check images of many shapes and compare them with the raw ones.
func TestQEMUReadsWhatTheImageHolds(t *testing.T) {
	shapes := []struct {
		name       string
		size, unit int64
		extents    int
		bits       int
	}{
		{"empty image", 0, 1 << 16, 0, 16},
		{"one sector", Sector, 1 << 16, 1, 16},
		{"no data", 10 << 20, 1 << 16, 0, 16},
		{"full", 8 << 20, 1 << 20, 8, 16},
		{"end within a cluster", 5<<20 + 3*Sector, 1 << 16, 60, 16},
		{"small data in large clusters", 64 << 20, 4 << 10, 20, 19},
		{"two L2 tables", 600 << 20, 1 << 20, 3, 16},
		{"many", 64 << 20, 1 << 16, 300, 16},
		{"middle", 100 << 20, 1 << 18, 60, 18},
	}
	for n, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			raw, extents := sample(rand.New(rand.NewPCG(1, uint64(n))), s.size, s.unit, s.extents)
			i, err := New(bytes.NewReader(raw), s.size, extents, s.bits)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			plain, file := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
			if err := errors.Join(sparse(plain, raw, extents), os.WriteFile(file, whole(t, i), 0o600)); err != nil {
				t.Fatal(err)
			}
			qemu(t, "check", "-f", "qcow2", file)
			qemu(t, "compare", "-f", "raw", "-F", "qcow2", plain, file)
		})
	}
}

// sparse writes a file with holes.
func sparse(name string, raw []byte, extents []Extent) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for _, e := range extents {
		_, werr := f.WriteAt(raw[e.Offset:e.Offset+e.Length], e.Offset)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, f.Truncate(int64(len(raw))), f.Close())
}

// TestQEMUFindsLargeTablesSound checks the tables of an image of 1 TiB in 262144 pieces, as a file with a hole for data.
func TestQEMUFindsLargeTablesSound(t *testing.T) {
	var extents []Extent
	for at := int64(0); at < 1<<40; at += 4 << 20 {
		extents = append(extents, Extent{at, 2 << 20})
	}
	i, err := New(zeros{}, 1<<40, extents, Bits(1<<40, extents))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, io.NewSectionReader(i, 0, i.data<<i.bits)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(i.Size()); err != nil {
		t.Fatal(err)
	}
	qemu(t, "check", "-f", "qcow2", f.Name())
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestAnyRangeIsThatOfTheWhole reads random ranges, several at once.
func TestAnyRangeIsThatOfTheWhole(t *testing.T) {
	raw, extents := sample(rand.New(rand.NewPCG(2, 3)), 40<<20+5*Sector, 1<<16, 90)
	i, err := New(bytes.NewReader(raw), int64(len(raw)), extents, 16)
	if err != nil {
		t.Fatal(err)
	}
	want := whole(t, i)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 9))
			for range 2000 {
				off := r.Int64N(i.Size() + 10)
				if r.IntN(2) == 0 { // among the tables
					off %= (i.data + 1) << i.bits
				}
				p := make([]byte, r.IntN(200<<10))
				n, err := i.ReadAt(p, off)
				rest := want[min(off, i.Size()):]
				if !bytes.Equal(p[:n], rest[:min(len(p), len(rest))]) || (n < len(p)) != (err == io.EOF) {
					t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestFailuresOfTheImageAreTold reads from an image that fails or ends early: never as zeros.
func TestFailuresOfTheImageAreTold(t *testing.T) {
	for name, raw := range map[string]io.ReaderAt{
		"fails":      failing{iotest.ErrTimeout},
		"ends early": bytes.NewReader(make([]byte, 100)),
		"is silent":  failing{nil},
	} {
		i, err := New(raw, 1<<20, []Extent{{0, 1 << 20}}, 16)
		if err != nil {
			t.Fatal(err)
		}
		n, err := i.ReadAt(make([]byte, 4096), i.Size()-1<<20)
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("an image that %s: %d bytes, %v", name, n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		size    int64
		extents []Extent
		bits    int
	}{
		"no sectors":       {1000, nil, 16},
		"negative":         {-Sector, nil, 16},
		"small clusters":   {Sector, nil, LeastBits - 1},
		"large clusters":   {Sector, nil, MostBits + 1},
		"beyond the end":   {Sector, []Extent{{0, Sector + 1}}, 16},
		"empty extent":     {Sector, []Extent{{0, 0}}, 16},
		"negative extent":  {Sector, []Extent{{0, -1}}, 16},
		"overlap":          {1 << 20, []Extent{{0, 2}, {1, 2}}, 16},
		"overflow":         {1 << 20, []Extent{{1, 1<<63 - 1}}, 16},
		"before the first": {1 << 20, []Extent{{-1, 2}}, 16},
	} {
		if _, err := New(zeros{}, c.size, c.extents, c.bits); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestClustersHoldNothingBesideTheData(t *testing.T) {
	for _, c := range []struct {
		size    int64
		extents []Extent
		want    int
	}{
		{1 << 30, nil, MostBits},
		{1 << 30, []Extent{{0, 1 << 30}}, MostBits},
		{1 << 30, []Extent{{1 << 19, 3 << 19}}, 19},
		{1 << 30, []Extent{{1 << 18, 1 << 19}}, 18},
		{1<<30 + 512, []Extent{{1 << 19, 1<<30 + 512 - 1<<19}}, 19},
		{1 << 30, []Extent{{4096, 4096}}, LeastBits},
	} {
		if got := Bits(c.size, c.extents); got != c.want {
			t.Errorf("%v: clusters of 1<<%d, want 1<<%d", c.extents, got, c.want)
		}
	}
}

// FuzzReadsAgreeWithTheRawImage walks the tables as a reader does, for any extents.
func FuzzReadsAgreeWithTheRawImage(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint8(16), uint8(16))
	f.Add(uint64(2), uint16(9000), uint8(19), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, sectors uint16, bits, unit uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := LeastBits + int(bits)%(MostBits-LeastBits+1)
		raw, extents := sample(r, int64(sectors)*Sector, 1<<(9+unit%12), 1+r.IntN(40))
		i, err := New(bytes.NewReader(raw), int64(len(raw)), extents, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := follow(t, i); !bytes.Equal(got, raw) {
			t.Errorf("seed %d, %d sectors, clusters of 1<<%d: the image differs", seed, sectors, b)
		}
	})
}

// follow reads the image through the file's own header and tables.
func follow(t testing.TB, i *Image) []byte {
	word := func(off int64) int64 {
		var b [8]byte
		if _, err := i.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		return int64(binary.BigEndian.Uint64(b[:]) &^ copied)
	}
	bits, size, l1 := word(20)>>32, word(24), word(40)
	out := make([]byte, (size+1<<bits-1)>>bits<<bits)
	for c := int64(0); c<<bits < size; c++ {
		table := word(l1 + c>>(bits-3)*8)
		if table == 0 {
			continue
		}
		if at := word(table + c&(1<<(bits-3)-1)*8); at != 0 {
			if _, err := i.ReadAt(out[c<<bits:(c+1)<<bits], at); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out[:size]
}
