package fault

import (
	"bytes"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// strikes is what a blob is made of wherever it lies; nil is nothing at all. They hit what a pack cannot spare: most of
// a small one only fills it up.
var strikes = map[string]func([]byte) []byte{
	"flipped byte": func(data []byte) []byte { data[min(64, len(data)/2)] ^= 0xff; return data },
	"gone":         func([]byte) []byte { return nil },
	"cut":          func(data []byte) []byte { return data[:len(data)/16] },
}

// TestHealBucketBesideData strikes the other kinds of blobs in a bucket, and loses in each a run of bytes.
func TestHealBucketBesideData(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "beside", false))
	for n, prefix := range []string{"holdfast.point.", "holdfast.hold.", "holdfast.tier.", "kopia.repository", "p", "q", "x"} {
		names := []string{"zeroed sector"}
		if n < 3 {
			names = append(slices.Sorted(maps.Keys(strikes)), names...)
		}
		for _, name := range names {
			strike := strikes[name]
			if strike == nil {
				strike = func(data []byte) []byte { clear(data[:min(len(data), 4096)]); return data }
			}
			what := strings.ReplaceAll(kinds[prefix]+" "+name, " ", "_")
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				p := newUphill(t, l, "beside", what, 2)
				must(t, p.local.Hold(t.Context(), "p0", point.Hold{Reason: "it matters"}))
				op := journey.At(t, p.site("1y"))
				op.Run("replicate", "s3")
				p.strikeFar(prefix, strike)
				p.heals("s3")
				p.strikeFar(prefix, func(data []byte) []byte { return data }) // it is there again
				if out := op.Run("verify", "--heal", "--full", "--all", "--tier", "s3"); !strings.Contains(out, "nothing is damaged") {
					t.Errorf("healing again finds something:\n%s", out)
				}
				if n := p.honest(); n != len(p.data) {
					t.Errorf("the bucket holds %d points of %d", n, len(p.data))
				}
			})
		}
	}
}

// TestHealBucket strikes what a vault in a bucket, which corrects no errors, cannot do without: it is healed from the directory, and
// then heals the directory from what it has, on a host that has seen neither vault before.
func TestHealBucket(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "heal", false))
	for _, prefix := range []string{"kopia.repository", "p", "q", "x"} {
		for name, strike := range strikes {
			what := strings.ReplaceAll(kinds[prefix]+" "+name, " ", "_")
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				p := newUphill(t, l, "heal", what, 2)
				journey.At(t, p.site("1y")).Run("replicate", "s3")
				p.strikeFar(prefix, strike)
				if out := p.heals("s3"); strings.Contains(out, "nothing is damaged") {
					t.Errorf("nothing was healed:\n%s", out)
				}
				p.strikeLocal(prefix, strike)
				p.heals("local")
				if n := p.honest(); n != len(p.data) {
					t.Errorf("the bucket holds %d points of %d", n, len(p.data))
				}
			})
		}
	}
}

// heals heals a tier and reads it in full, each as a host does that knows nothing of it.
func (p *uphill) heals(tier string) (said string) {
	p.t.Helper()
	said = journey.At(p.t, p.site("1y")).Run("verify", "--heal", "--full", "--all", "--tier", tier)
	op := journey.At(p.t, p.site("1y"))
	op.Run("verify", "--full", "--all", "--tier", tier)
	if out := op.Run("points", "--tier", tier); strings.Count(out, "kolla 1/1") != len(p.data) {
		p.t.Errorf("tier %s is to list %d points:\n%s", tier, len(p.data), out)
	}
	return said
}

// strikeFar strikes all blobs in the bucket whose names begin so.
func (p *uphill) strikeFar(prefix string, strike func([]byte) []byte) {
	p.t.Helper()
	c, err := p.lab.S3()
	must(p.t, err)
	bucket, dir, _ := strings.Cut(strings.TrimPrefix(p.far.URL, "s3://"), "/")
	struck := 0
	for o := range c.ListObjects(p.t.Context(), bucket, minio.ListObjectsOptions{Prefix: dir + "/" + prefix}) {
		must(p.t, o.Err)
		body, err := c.GetObject(p.t.Context(), bucket, o.Key, minio.GetObjectOptions{})
		must(p.t, err)
		data, err := io.ReadAll(body)
		must(p.t, err)
		if data = strike(data); data == nil {
			must(p.t, c.RemoveObject(p.t.Context(), bucket, o.Key, minio.RemoveObjectOptions{}))
		} else {
			_, err := c.PutObject(p.t.Context(), bucket, o.Key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{DisableMultipart: true})
			must(p.t, err)
		}
		struck++
	}
	if struck == 0 {
		p.t.Fatalf("no blob of the bucket begins with %s", prefix)
	}
}

// strikeLocal does the same in the directory.
func (p *uphill) strikeLocal(prefix string, strike func([]byte) []byte) {
	p.t.Helper()
	for _, file := range blobs(p.t, p.local.Location().URL, prefix) {
		data, err := os.ReadFile(file)
		must(p.t, err)
		if data = strike(data); data == nil {
			gone(p.t, file)
		} else {
			rewrite(p.t, file, data)
		}
	}
}
