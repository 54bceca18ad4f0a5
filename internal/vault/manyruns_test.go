package vault

import (
	"context"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
)

// manyFlushes seals points that are so far apart, each with an index of its own, and maintains the vault where a run does.
func manyFlushes(t testing.TB, v *Vault, advance func(time.Duration), count int, apart time.Duration) {
	for n := range count {
		check(t, v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error { return onePoint(ctx, v, w, n) }))
		c, err := v.Cycles(t.Context())
		check(t, err)
		if !now().Before(c.Quick.Add(QuickEvery)) {
			maintain(t, v, MaintainOptions{})
		}
		advance(apart)
	}
}

// openedFirst opens a vault as if for the first time on a machine, and returns how many indexes it reads.
func openedFirst(t testing.TB, loc Location) (v *Vault, indexes int) {
	v = openVault(t, loc)
	blobs, err := v.repo.IndexBlobs(t.Context(), false)
	check(t, err)
	return v, len(blobs)
}

// TestManyRuns: however many runs a day has, an opening reads the indexes of the last hours one by one and no others, and misses
// no point.
func TestManyRuns(t *testing.T) {
	const perHour, hours = 24, 6
	advance := clock(t)
	v := newStamped(t)
	manyFlushes(t, v, advance, perHour*hours, time.Hour/perHour)
	again, indexes := openedFirst(t, v.Location())
	if most := 3*perHour + hours; indexes > most {
		t.Errorf("it reads %d indexes, more than %d", indexes, most)
	}
	points, err := again.Points(t.Context())
	check(t, err)
	if len(points) != perHour*hours {
		t.Errorf("%d points of %d", len(points), perHour*hours)
	}
}

// BenchmarkManyRuns opens a vault after 200 runs of two sources in one day, which write five indexes each.
func BenchmarkManyRuns(b *testing.B) {
	const count = 200 * 5
	for b.Loop() {
		advance := clock(b)
		v := newStamped(b)
		manyFlushes(b, v, advance, count, 24*time.Hour/count)
		began := time.Now()
		_, indexes := openedFirst(b, v.Location())
		b.ReportMetric(time.Since(began).Seconds(), "opened-s")
		b.ReportMetric(float64(indexes), "indexes")
	}
}
