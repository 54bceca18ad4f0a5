package vault

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"holdfast/internal/point"
)

// The vault that is pruned: points of one source, each with bytes of its own beside those that all share.
const (
	benchPoints = 1000
	benchBytes  = 384 << 10
)

// BenchmarkPrune removes the older 500 of 1,000 points and reclaims their space, beside a run that shares what leaves. The clock is
// moved on from cycle to cycle; what is measured is the work. It also opens the vault anew, and replicates when nothing is new.
func BenchmarkPrune(b *testing.B) {
	for b.Loop() {
		advance := clock(b)
		v := newStamped(b)
		manyPoints(b, v, benchPoints)
		advance(48 * time.Hour)
		before, ids := packBytes(b, v), []string{}
		for n := range benchPoints / 2 {
			ids = append(ids, pointName(n))
		}
		unused := float64(len(ids) * benchBytes)
		var work time.Duration
		measure := func(what string, f func()) {
			start := time.Now()
			f()
			took := time.Since(start)
			work += took
			b.Logf("%s: %.1f s, packs hold %.1f MB, %.0f %% of what is unused is gone", what, took.Seconds(), float64(packBytes(b, v))/1e6,
				100*float64(before-packBytes(b, v))/unused)
		}
		l := own(b, v, false)
		measure("removal", func() {
			if gone, err := l.Remove(ids...); err != nil || len(gone) != len(ids) {
				b.Fatal(len(gone), err)
			}
		})
		end := runBeside(b, v, ownNoise(0))
		for n := range 8 {
			measure(fmt.Sprintf("cycle %d", n+1), func() { maintain(b, v, MaintainOptions{Full: true, Lease: l}) })
			if n == 0 {
				end()
			}
			advance(CycleApart)
		}
		gone := float64(before-packBytes(b, v)) / unused
		b.ReportMetric(work.Seconds(), "work-s")
		b.ReportMetric(100*gone, "%-freed")
		if gone < 0.6 {
			b.Error("less than 60 % is gone")
		}
		r, err := openVault(b, v.Location()).Verify(b.Context(), "", VerifyOptions{Depth: Structure})
		if err != nil || r.Points != benchPoints/2+1 || len(r.Damaged) > 0 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}

func ownNoise(n int) []byte {
	data := noise(benchBytes, byte(n))
	copy(data, pointName(n))
	return data
}

// manyPoints seals points in few sessions, in the order in which runs would.
func manyPoints(b *testing.B, v *Vault, count int) {
	for first := 0; first < count; first += 20 {
		check(b, v.write(b.Context(), "bench", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			for n := first; n < first+20; n++ {
				if err := onePoint(ctx, v, w, n); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func onePoint(ctx context.Context, v *Vault, w repo.DirectRepositoryWriter, n int) error {
	ow := w.NewObjectWriter(ctx, object.WriterOptions{Splitter: "FIXED-256K"})
	defer ow.Close()
	if _, err := ow.Write(ownNoise(n)); err != nil {
		return err
	}
	id, err := ow.Result()
	if err != nil {
		return err
	}
	var dir snapshotfs.DirManifestBuilder
	e := newEntry(snapshot.EntryTypeFile, meta(0o600))
	e.Name, e.ObjectID, e.FileSize = "own", id, benchBytes
	dir.AddEntry(e)
	root := newEntry(snapshot.EntryTypeDirectory, meta(0o700))
	if err := writeDirManifest(ctx, w, &dir, root, ""); err != nil {
		return err
	}
	m := newSnapshot(v.sourceInfo("mariadb"), root, now())
	m.Tags = map[string]string{tagPoint: pointName(n), tagSource: "mariadb"}
	if _, err := snapshot.SaveSnapshot(ctx, w, m); err != nil {
		return err
	}
	p := point.Point{ID: pointName(n), Cloud: testCloud, Started: testTime.Add(time.Duration(n) * time.Hour), State: point.Complete}
	sources := sourcesOf([]*snapshot.Manifest{m})
	seal, err := v.savePoint(ctx, w, p, sources)
	if err != nil {
		return err
	}
	return v.keepRecord(ctx, record{Point: p, Sources: sources, Snapshots: []*snapshot.Manifest{m, seal}})
}

// BenchmarkAskForPacks compares the index of many contents with a listing of their packs, as each prune does.
func BenchmarkAskForPacks(b *testing.B) {
	const contents = 300_000
	v := newVault(b)
	check(b, v.write(b.Context(), "bench", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for n := range contents {
			ow := w.NewObjectWriter(ctx, object.WriterOptions{Splitter: wholePiece})
			if _, err := fmt.Fprint(ow, n); err != nil {
				return err
			}
			if _, err := ow.Result(); err != nil {
				return err
			}
			check(b, ow.Close())
		}
		return nil
	}))
	for b.Loop() {
		check(b, v.AskForPacks(b.Context()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/contents, "ns/content")
}

// BenchmarkNothingNew opens two vaults with the same 1,000 points cold and compares them, as a replication does that finds nothing
// to copy, and lists the points of both, as one does that asks which of them the next tier wants.
func BenchmarkNothingNew(b *testing.B) {
	first := newVault(b)
	manyPoints(b, first, benchPoints)
	second := Location{Tier: "far", URL: filepath.Join(b.TempDir(), "vault")}
	check(b, os.CopyFS(second.URL, os.DirFS(first.Location().URL)))
	for b.Loop() {
		start := time.Now()
		from, to := openVault(b, first.Location()), openVault(b, second)
		opened := time.Since(start)
		r, err := from.Replica(b.Context(), to, ReplicaOptions{})
		check(b, err)
		if r.Held() != benchPoints {
			b.Fatalf("%d are held", r.Held())
		}
		check(b, r.Close(b.Context()))
		compared := time.Since(start)
		for _, v := range []*Vault{from, to} {
			if points, err := v.Points(b.Context()); err != nil || len(points) != benchPoints {
				b.Fatal(len(points), err)
			}
		}
		b.ReportMetric(opened.Seconds(), "opened-s")
		b.ReportMetric(compared.Seconds(), "compared-s")
		b.ReportMetric(time.Since(start).Seconds(), "total-s")
	}
}
