package fault

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/s3proxy"
	"holdfast/internal/problem"
	"holdfast/internal/vault"
	"holdfast/test/journey"
)

// TestTamperedStore has somebody with the tier's keys write what he likes into locked buckets: every version of ours is locked anew, the
// renewal says what was done, and undelete turns it back.
func TestTamperedStore(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	for _, c := range []struct {
		name string
		do   func(*tampered)
		says string
	}{
		{"overindexes", func(s *tampered) { s.over("x"); s.hide("x") }, "somebody deleted"},
		{"overpacks", func(s *tampered) { s.over("p"); s.over("q") }, "wrote something else over"},
		{"overhidden", func(s *tampered) { s.over("p"); s.hide("p"); s.hide("xn") }, "somebody deleted"},
		{"junkrange", func(s *tampered) { s.put("xr0_99999999_"+strings.Repeat("ab", 16)+"-s1-c1", "junk"); s.hide("x") }, "somebody deleted"},
		{"copy", (*tampered).copyIndex, "have false names"},
		{"copyhidden", func(s *tampered) { s.copyIndex(); s.hide("x") }, "somebody deleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newTampered(t, l, c.name)
			c.do(s)
			s.renewed(c.says)
			_, err := vault.Undelete(t.Context(), s.p.near, storePass, vault.OpenOptions{Cloud: storeCloud})
			must(t, err)
			s.whole()
		})
	}
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		testCutUploads(t, l)
	})
	t.Run("rescued", func(t *testing.T) {
		t.Parallel()
		testRescuedIndex(newTampered(t, l, "rescued"))
	})
}

// tampered is a locked bucket with two points, and what is ours in it.
type tampered struct {
	t      *testing.T
	p      *uphill
	bucket string
	client *minio.Client
	ours   map[string]time.Time // until when each version was locked, by name and version
}

func newTampered(t *testing.T, l *lab.Lab, bucket string) *tampered {
	t.Helper()
	must(t, l.MakeBucket(t.Context(), bucket, true))
	s := &tampered{t: t, p: newUphill(t, l, bucket, "v", 2), bucket: bucket}
	_, err := s.p.replicate()
	must(t, err)
	_, err = s.p.open(s.p.near).SetImmutable(t.Context(), vault.Immutable{Mode: "governance", Period: 72 * time.Hour})
	must(t, err)
	s.client, err = l.S3()
	must(t, err)
	s.ours = s.locks()
	if len(s.ours) < 5 {
		t.Fatalf("only %v is locked", s.ours)
	}
	return s
}

// locks are those of the newest versions of packs and indexes that are present, or of all that are ours.
func (s *tampered) locks() map[string]time.Time {
	s.t.Helper()
	locks := map[string]time.Time{}
	for o := range s.client.ListObjects(s.t.Context(), s.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		must(s.t, o.Err)
		name := o.Key + " " + o.VersionID
		if _, known := s.ours[name]; o.IsDeleteMarker || !known && (s.ours != nil || !o.IsLatest || !strings.Contains("pqx", o.Key[2:3])) {
			continue
		}
		_, until, err := s.client.GetObjectRetention(s.t.Context(), s.bucket, o.Key, o.VersionID)
		must(s.t, err)
		locks[name] = *until
	}
	return locks
}

// each does something to every object in the bucket whose name begins so.
func (s *tampered) each(prefix string, do func(name string)) {
	s.t.Helper()
	n := 0
	for o := range s.client.ListObjects(s.t.Context(), s.bucket, minio.ListObjectsOptions{Prefix: "v/" + prefix}) {
		must(s.t, o.Err)
		do(strings.TrimPrefix(o.Key, "v/"))
		n++
	}
	if n == 0 {
		s.t.Fatalf("nothing in the bucket begins with %s", prefix)
	}
}

func (s *tampered) put(name, data string) {
	s.t.Helper()
	_, err := s.client.PutObject(s.t.Context(), s.bucket, "v/"+name, strings.NewReader(data), int64(len(data)), minio.PutObjectOptions{DisableMultipart: true})
	must(s.t, err)
}

func (s *tampered) over(prefix string) {
	s.t.Helper()
	s.each(prefix, func(name string) { s.put(name, "pay first") })
}

func (s *tampered) hide(prefix string) {
	s.t.Helper()
	s.each(prefix, func(name string) {
		must(s.t, s.client.RemoveObject(s.t.Context(), s.bucket, "v/"+name, minio.RemoveObjectOptions{}))
	})
}

// copyIndex gives an index a second name, by which it stands for all the others; kopia opens it.
func (s *tampered) copyIndex() {
	s.t.Helper()
	var old string
	s.each("xn", func(name string) { old = name })
	body, err := s.client.GetObject(s.t.Context(), s.bucket, "v/"+old, minio.GetObjectOptions{})
	must(s.t, err)
	data, err := io.ReadAll(body)
	must(s.t, err)
	_, seal, _ := strings.Cut(old, "_")
	s.put("xe2", "epoch-marker")
	s.put("xr0_2_"+seal, string(data))
}

// renewed extends all locks, of which somebody is told what was done.
func (s *tampered) renewed(says string) {
	s.t.Helper()
	v := s.p.open(s.p.near)
	began := time.Now()
	await(s.t, "a later second, of which locks are", func() bool { return time.Now().Unix() > began.Unix() })
	done, err := v.ExtendLocks(s.t.Context(), true)
	if done || err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(problem.HintOf(err), "undelete s3") {
		s.t.Errorf("extended %v, and said %v\n  hint: %s", done, err, problem.HintOf(err))
	}
	now := s.locks()
	for name, until := range s.ours {
		if hidden := strings.HasPrefix(name, "v/p") && says == "somebody deleted"; !hidden && !now[name].After(until) {
			s.t.Errorf("%s is locked until %v, before until %v", name, now[name], until)
		}
	}
}

// whole looks for all points, and for nothing left to tell.
func (s *tampered) whole() {
	s.t.Helper()
	if n := s.p.honest(); n != len(s.p.data) {
		s.t.Errorf("the bucket holds %d points of %d", n, len(s.p.data))
	}
	v, err := vault.Open(s.t.Context(), s.p.near, storePass, vault.OpenOptions{Cloud: storeCloud})
	must(s.t, err)
	defer v.Close(context.WithoutCancel(s.t.Context()))
	if done, err := v.ExtendLocks(s.t.Context(), true); !done || err != nil {
		s.t.Errorf("not extended: %v, %v", done, err)
	}
}

// testRescuedIndex has a rescue drop what is no index: nobody deleted it, and nothing brings it back.
func testRescuedIndex(s *tampered) {
	s.put("xn0_"+strings.Repeat("ab", 16)+"-s1-c1", "rotten")
	journey.At(s.t, s.p.site("1y")).Run("verify", "--heal", "--full", "--all", "--tier", "s3")
	s.whole()
	if out := journey.At(s.t, s.p.site("1y")).Try("doctor").Stdout; strings.Contains(out, "somebody deleted") {
		s.t.Errorf("doctor says\n%s", out)
	}
	if out := journey.At(s.t, s.p.site("1y")).Run("undelete", "s3", "--yes"); !strings.Contains(out, "nothing was deleted") {
		s.t.Errorf("undelete says\n%s", out)
	}
	s.whole()
}

// testCutUploads brings points into a locked bucket through what keeps half of an upload and says that all is well: what was put again then
// is nobody else's doing.
func testCutUploads(t *testing.T, l *lab.Lab) {
	must(t, l.MakeBucket(t.Context(), "cut", true))
	s := &tampered{t: t, p: newUphill(t, l, "cut", "v", 3), bucket: "cut"}
	s.p.proxy.Set(s3proxy.Faults{Truncate: 0.5})
	_, err := s.p.replicate()
	must(t, err)
	s.p.proxy.Set(s3proxy.Faults{})
	if s.p.proxy.Seen("truncate") == 0 {
		t.Fatal("nothing was cut")
	}
	_, err = s.p.open(s.p.near).SetImmutable(t.Context(), vault.Immutable{Mode: "governance", Period: 72 * time.Hour})
	must(t, err)
	s.whole()
	if out := journey.At(t, s.p.site("1y")).Run("undelete", "s3", "--yes"); !strings.Contains(out, "nothing was deleted") {
		t.Errorf("undelete says\n%s", out)
	}
}
