package vault

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/object"

	"holdfast/internal/point"
)

// manyEnv makes the test binary a process that does one thing with the vault it names and prints what it took.
const manyEnv = "HOLDFAST_TEST_MANY"

// piecesPerImage is how many pieces an image has at most, unless more is asked for.
const piecesPerImage = blocksAimed

// BenchmarkManyContents fills a vault with HOLDFAST_BENCH_CONTENTS contents of eight bytes, of images with as many pieces as
// images have, and tells what a run and a verification then take. TMPDIR says on which disk.
func BenchmarkManyContents(b *testing.B) {
	total := 2 * piecesPerImage
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_BENCH_CONTENTS")); err == nil {
		total = n
	}
	v := newVault(b)
	began := time.Now()
	for images := range total / piecesPerImage {
		if err := fillImage(b.Context(), v, images, piecesPerImage); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d contents written in %.0f s", total, time.Since(began).Seconds())
	for b.Loop() {
		for _, what := range []string{"first opening", "opening", "increment", "verify"} {
			cmd := exec.CommandContext(b.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), manyEnv+"="+what+"="+v.loc.URL, "GOMEMLIMIT=700MiB")
			out, err := cmd.CombinedOutput()
			if err != nil {
				b.Fatalf("%s: %v: %s", what, err, out)
			}
			b.Logf("%s: %s", what, out)
		}
	}
}

// fillImage seals a point with one image whose pieces are found in no other.
func fillImage(ctx context.Context, v *Vault, number, pieces int) error {
	id := fmt.Sprintf("p%d", number)
	s, err := v.Begin(ctx, id, "rbd")
	if err != nil {
		return err
	}
	defer s.Abandon(context.WithoutCancel(ctx))
	ids, err := eightBytes(s, number*pieces, pieces)
	if err != nil {
		return err
	}
	w := writing{t: s.Tree("rbd/i.raw"), path: "rbd/i.raw", meta: meta(0o600), body: newBody(s.Tree("rbd/i.raw"))}
	if err := w.t.track(&w); err != nil {
		return err
	}
	for _, id := range ids {
		w.body.add(8, id)
	}
	if err := w.keep(); err != nil {
		return err
	}
	if _, err := s.Seal(ctx, "manifest", nil); err != nil {
		return err
	}
	return v.SealPoint(ctx, point.Point{ID: id, Cloud: testCloud, Started: testTime, State: point.Complete, Components: []point.Component{good("rbd", "rbd/i.raw")}})
}

// eightBytes writes n contents, of the numbers from first on.
func eightBytes(s *Session, first, n int) ([]object.ID, error) {
	ids := make([]object.ID, n)
	var wg sync.WaitGroup
	for worker := range writers() {
		wg.Go(func() {
			for n := worker; n < len(ids) && s.failed() == nil; n += writers() {
				data := binary.BigEndian.AppendUint64(nil, uint64(first+n))
				id, err := s.writeOnce(data, object.WriterOptions{Splitter: wholePiece})
				if err != nil {
					_ = s.fail(err) // which ends the others too
				}
				ids[n] = id
			}
		})
	}
	wg.Wait()
	return ids, s.failed()
}

// withMany does one thing with a vault and tells the memory that it took.
func withMany(what, url string) error {
	ctx := context.Background()
	began := time.Now()
	v, err := Open(ctx, Location{URL: url}, testPass, OpenOptions{Cloud: testCloud, State: url + "-state"})
	if err != nil {
		return err
	}
	switch what {
	case "increment":
		err = smallIncrement(ctx, v)
	case "verify":
		_, err = v.Verify(ctx, "", VerifyOptions{Depth: Structure})
	}
	if err != nil {
		return err
	}
	fmt.Printf("%.1f s, peak %s", time.Since(began).Seconds(), strings.Join(residents("VmHWM:", "RssAnon:", "RssFile:"), ", "))
	return v.Close(ctx)
}

// smallIncrement changes one piece of the first image.
func smallIncrement(ctx context.Context, v *Vault) error {
	fsys, err := v.FS(ctx, "p0", "rbd")
	if err != nil {
		return err
	}
	parent, err := fsys.Entry("rbd/i.raw")
	if err != nil {
		return err
	}
	s, err := v.Begin(ctx, "more"+strconv.Itoa(os.Getpid()), "rbd")
	if err != nil {
		return err
	}
	defer s.Abandon(ctx)
	i, err := s.Image("rbd/i.raw", meta(0o600), ImageOptions{Size: 8 * piecesPerImage, Block: 8, Parent: parent})
	if err != nil {
		return err
	}
	if err := i.Next(80, 8); err != nil {
		return err
	}
	if _, err := i.Write([]byte(strconv.Itoa(os.Getpid() + 1e8)[:8])); err != nil {
		return err
	}
	if err := i.Close(); err != nil {
		return err
	}
	_, err = s.Seal(ctx, "manifest", nil)
	return err
}

func residents(names ...string) (found []string) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, name := range names {
			if strings.HasPrefix(line, name) {
				found = append(found, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return found
}

// TestContents: the estimate is within a tenth of what was written.
func TestContents(t *testing.T) {
	v := newVault(t)
	for n := range 2 {
		if err := fillImage(t.Context(), v, n, 20_000); err != nil {
			t.Fatal(err)
		}
	}
	got, err := v.Contents(t.Context())
	if err != nil || got < 36_000 || got > 44_000 {
		t.Errorf("%d contents of about 40,000, %v", got, err)
	}
}
