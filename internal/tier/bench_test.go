package tier

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
)

// BenchmarkNothingNew compares two vaults that hold the same HOLDFAST_BENCH_POINTS points, from opening them on.
func BenchmarkNothingNew(b *testing.B) {
	many := 1000
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_BENCH_POINTS")); err == nil {
		many = n
	}
	pass, dir, ctx := secret.New("a passphrase for tests"), b.TempDir(), b.Context()
	local := vault.Location{Tier: "local", URL: filepath.Join(dir, "local")}
	must(b, vault.Create(ctx, local, pass, vault.CreateOptions{Cloud: cloud}))
	open := func(loc vault.Location) *vault.Vault {
		v, err := vault.Open(ctx, loc, pass, vault.OpenOptions{Cloud: cloud, State: filepath.Join(dir, "state")})
		must(b, err)
		return v
	}
	v := open(local)
	for i := range many {
		fill(ctx, b, v, fmt.Sprintf("p%d", i))
	}
	must(b, v.Close(ctx))
	// A copy of the files is a vault that holds the same.
	next := vault.Location{Tier: "next", URL: filepath.Join(dir, "next")}
	must(b, os.CopyFS(next.URL, os.DirFS(local.URL)))
	for b.Loop() {
		from, to := open(local), open(next)
		res, err := Replicate(ctx, from, to, Options{Now: time.Now})
		must(b, err)
		if res.Held != many {
			b.Fatalf("%d held of %d", res.Held, many)
		}
		must(b, from.Close(ctx))
		must(b, to.Close(ctx))
	}
}

// fill seals a point of three sources.
func fill(ctx context.Context, b *testing.B, v *vault.Vault, id string) {
	for _, source := range []string{"kolla", "mariadb", "rbd"} {
		s, err := v.Begin(ctx, id, source)
		must(b, err)
		must(b, s.WriteFile("file", stream.Meta{Mode: 0o600}, []byte(id)))
		_, err = s.Seal(ctx, nil, nil)
		must(b, err)
	}
	must(b, v.SealPoint(ctx, point.Point{ID: id, Cloud: cloud, State: point.Complete}))
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
