package vault

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/point"
)

// BenchmarkReplica copies an image of HOLDFAST_BENCH_MIB, half of it noise and half zeros, into an empty vault, and then the
// same image with one noisy piece in a hundred written anew. TMPDIR says on which disk.
func BenchmarkReplica(b *testing.B) {
	mib := 256
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_BENCH_MIB")); err == nil {
		mib = n
	}
	pieces := mib << 20 / leastBlock
	for b.Loop() {
		first := newVault(b)
		benchImage(b, first, "p1", "", pieces, 2)
		loc := Location{URL: filepath.Join(b.TempDir(), "vault")}
		if err := Create(b.Context(), loc, testPass, CreateOptions{Cloud: testCloud, HashSecret: first.HashSecret()}); err != nil {
			b.Fatal(err)
		}
		second := openVault(b, loc)
		benchReplica(b, "first", first, second)
		benchImage(b, first, "p2", "p1", pieces, 200)
		benchReplica(b, "increment", first, second)
	}
}

func benchReplica(b *testing.B, what string, from, to *Vault) {
	start, cpu := time.Now(), cpuSeconds()
	r, err := from.Replica(b.Context(), to, ReplicaOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close(context.Background())
	for _, p := range r.Lacking() {
		c, err := r.Copy(b.Context(), p.ID)
		if err != nil {
			b.Fatal(err)
		}
		wall, used := time.Since(start), cpuSeconds()-cpu
		b.Logf("%s: %d contents, %.1f MB, wall %.2f s, %.0f MB/s, cpu %.2f s, resident %s", what, c.Contents, float64(c.Bytes)/1e6, wall.Seconds(),
			float64(c.Bytes)/1e6/wall.Seconds(), used, peak())
	}
}

// benchImage seals a point with an image in which every so many pieces are noise.
func benchImage(b *testing.B, v *Vault, id, parent string, pieces, every int) {
	s, err := v.Begin(b.Context(), id, "rbd")
	must(b, err)
	o := ImageOptions{Size: int64(pieces) * leastBlock}
	if parent != "" {
		fsys, err := v.FS(b.Context(), parent, "rbd")
		must(b, err)
		o.Parent, err = fsys.Entry("v.raw")
		must(b, err)
	}
	i, err := s.Image("v.raw", meta(0o600), o)
	must(b, err)
	for n := 0; n < pieces; n += every {
		must(b, i.Next(int64(n)*leastBlock, leastBlock))
		data := noise(leastBlock, byte(n))
		copy(data, id+strconv.Itoa(n))
		_, err := i.Write(data)
		must(b, err)
	}
	must(b, i.Close())
	_, err = s.Seal(b.Context(), nil, nil)
	must(b, err)
	must(b, v.SealPoint(b.Context(), point.Point{ID: id, Cloud: testCloud, State: point.Complete, Components: []point.Component{good("rbd", "v.raw")}}))
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
