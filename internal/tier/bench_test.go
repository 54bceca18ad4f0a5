package tier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

// setting is a number that a benchmark takes from the environment.
func setting(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// BenchmarkNothingNew compares two vaults that hold the same HOLDFAST_BENCH_POINTS points, from opening them on.
func BenchmarkNothingNew(b *testing.B) {
	many := setting("HOLDFAST_BENCH_POINTS", 1000)
	v := place(b, "local", nil)
	for i := range many {
		fill(b.Context(), b, v, fmt.Sprintf("p%d", i))
	}
	// A copy of the files is a vault that holds the same.
	dir, state := b.TempDir(), b.TempDir()
	check(b, os.CopyFS(dir, os.DirFS(v.Dir())))
	open := func(name, dir string) *vault.Vault {
		v, err := vault.Open(b.Context(), vault.Location{Tier: name, URL: dir}, secret.New(pass.Reveal()+"local"), vault.OpenOptions{Cloud: cloud, State: state})
		check(b, err)
		return v
	}
	for b.Loop() {
		from, to := open("local", v.Dir()), open("next", dir)
		res, err := Replicate(b.Context(), from, to, Options{Now: time.Now})
		check(b, err)
		if res.Held != many {
			b.Fatalf("%d held of %d", res.Held, many)
		}
		check(b, from.Close(b.Context()))
		check(b, to.Close(b.Context()))
	}
}

// fill seals a point of three sources.
func fill(ctx context.Context, b *testing.B, v *vault.Vault, id string) {
	for _, source := range []string{"kolla", "mariadb", "rbd"} {
		s, err := v.Begin(ctx, id, source)
		check(b, err)
		check(b, s.WriteFile("file", stream.Meta{Mode: 0o600}, []byte(id)))
		_, err = s.Seal(ctx, nil, nil)
		check(b, err)
	}
	check(b, v.SealPoint(ctx, point.Point{ID: id, Cloud: cloud, State: point.Complete}))
}

const piece = 128 << 10

// BenchmarkReplicate copies an image of HOLDFAST_BENCH_MIB, half of it noise and half zeros, into an empty vault, and then the
// same image with one noisy piece in a hundred written anew. TMPDIR says on which disk.
func BenchmarkReplicate(b *testing.B) {
	pieces := setting("HOLDFAST_BENCH_MIB", 256) << 20 / piece
	for b.Loop() {
		first := place(b, "local", nil)
		image(b, first, "p1", "", pieces, 2)
		second := place(b, "next", first)
		timed(b, "first", first, second)
		image(b, first, "p2", "p1", pieces, 200)
		timed(b, "increment", first, second)
	}
}

func timed(b *testing.B, what string, from, to *vault.Vault) {
	began := time.Now()
	res, err := Replicate(b.Context(), from, to, Options{Now: time.Now})
	check(b, err)
	took := time.Since(began).Seconds()
	for _, p := range res.Points {
		b.Logf("%s: %d contents, %.1f MB, %.2f s, %.0f MB/s", what, p.Contents, float64(p.Bytes)/1e6, took, float64(p.Bytes)/1e6/took)
	}
}

// image seals a point with an image in which every so many pieces are noise.
func image(b *testing.B, v *vault.Vault, id, parent string, pieces, every int) {
	s, err := v.Begin(b.Context(), id, "rbd")
	check(b, err)
	o := vault.ImageOptions{Size: int64(pieces) * piece}
	if parent != "" {
		fsys, err := v.FS(b.Context(), parent, "rbd")
		check(b, err)
		o.Parent, err = fsys.Entry("v.raw")
		check(b, err)
	}
	i, err := s.Image("v.raw", stream.Meta{Mode: 0o600}, o)
	check(b, err)
	dice := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%32s", id))))
	data := make([]byte, piece)
	for n := 0; n < pieces; n += every {
		check(b, i.Next(int64(n)*piece, piece))
		_, _ = dice.Read(data) // it never fails
		_, err := i.Write(data)
		check(b, err)
	}
	check(b, i.Close())
	_, err = s.Seal(b.Context(), nil, nil)
	check(b, err)
	check(b, v.SealPoint(b.Context(), point.Point{ID: id, Cloud: cloud, State: point.Complete, Components: []point.Component{
		{Source: "rbd", Name: "v.raw", Path: "v.raw", State: point.Good},
	}}))
}
