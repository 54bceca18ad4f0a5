package fault

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/s3proxy"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/tier"
	"holdfast/internal/vault"
	"holdfast/test/journey"
)

// uphill is a local vault with points and an empty one in a bucket, behind a proxy.
type uphill struct {
	t     *testing.T
	lab   *lab.Lab
	proxy *s3proxy.Proxy
	local *vault.Vault
	far   vault.Location // behind the proxy
	near  vault.Location // the same without it
	state string
	data  map[string][]byte // of each point

	mu   sync.Mutex
	keys s3.Keys
}

const storeCloud = "cloud1"

var storePass = secret.New("a passphrase for tests")

// newUphill makes points of a few MiB each in a local vault, and the vault that they go to.
func newUphill(t *testing.T, l *lab.Lab, bucket, name string, points int) *uphill {
	t.Helper()
	proxy, err := s3proxy.Listen(l.Ceph.Endpoint, 7)
	must(t, err)
	t.Cleanup(func() { proxy.Close() })
	p := &uphill{t: t, lab: l, proxy: proxy, state: t.TempDir(), data: map[string][]byte{}}
	p.keys = labKeys(t, l, "s3.access", "s3.secret")
	proxy.Store = p.store
	local := vault.Location{Tier: "local", URL: filepath.Join(t.TempDir(), "local")}
	must(t, vault.Create(t.Context(), local, storePass, vault.CreateOptions{Cloud: storeCloud}))
	p.local = p.open(local)
	for n := range points {
		p.seal(fmt.Sprintf("p%d", n), 3<<20)
	}
	at := func(endpoint string) vault.Location {
		return vault.Location{Tier: "s3", URL: "s3://" + bucket + "/" + name, S3: &vault.S3{Endpoint: endpoint, PathStyle: true, Keys: p.currentKeys}}
	}
	p.far, p.near = at(proxy.URL), at(l.Ceph.Endpoint)
	must(t, vault.Create(t.Context(), p.near, storePass, vault.CreateOptions{Cloud: storeCloud, HashSecret: p.local.HashSecret()}))
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\n  hint: %s", err, problem.HintOf(err))
	}
}

func labKeys(t *testing.T, l *lab.Lab, access, sec string) s3.Keys {
	t.Helper()
	read := func(name string) secret.Secret {
		text, err := os.ReadFile(filepath.Join(l.Options.Dir, "secrets", name))
		must(t, err)
		return secret.New(strings.TrimSpace(string(text)))
	}
	return s3.Keys{Access: read(access), Secret: read(sec)}
}

func (p *uphill) currentKeys(context.Context) (s3.Keys, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys, nil
}

// store writes what is left of an upload in the place of Holdfast.
func (p *uphill) store(ctx context.Context, path string, _ http.Header, body []byte) error {
	c, err := p.lab.S3()
	if err != nil {
		return err
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	_, err = c.PutObject(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{DisableMultipart: true})
	return err
}

func (p *uphill) open(loc vault.Location) *vault.Vault {
	p.t.Helper()
	v, err := vault.Open(p.t.Context(), loc, storePass, vault.OpenOptions{Cloud: storeCloud, State: p.state})
	must(p.t, err)
	p.t.Cleanup(func() { v.Close(context.Background()) })
	return v
}

func (p *uphill) seal(id string, size int) {
	p.t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%32s", id)))).Read(data)
	s, err := p.local.Begin(p.t.Context(), id, "kolla")
	must(p.t, err)
	must(p.t, s.WriteFile("ctl1/file", stream.Meta{Mode: 0o600, ModTime: time.Unix(1000, 0)}, data))
	_, err = s.Seal(p.t.Context(), nil, nil)
	must(p.t, err)
	must(p.t, p.local.SealPoint(p.t.Context(), point.Point{ID: id, Cloud: storeCloud, Started: time.Now(), State: point.Complete, Components: []point.Component{
		{Source: "kolla", Name: "ctl1", Path: "ctl1", State: point.Good},
	}}))
	p.data[id] = data
}

// replicate goes through the proxy, from the opening on.
func (p *uphill) replicate() (tier.Result, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 4*time.Minute)
	defer cancel()
	to, err := vault.Open(ctx, p.far, storePass, vault.OpenOptions{Cloud: storeCloud, State: p.state})
	if err != nil {
		return tier.Result{}, err
	}
	defer to.Close(context.Background())
	return tier.Replicate(ctx, p.local, to, tier.Options{Now: time.Now})
}

// honest fails the test unless all that is listed can be read in full, and returns how many points that is.
func (p *uphill) honest() int {
	p.t.Helper()
	return p.holdsWhole()
}

// holdsWhole is honest that reads these points alone of those that are listed, all without names.
func (p *uphill) holdsWhole(ids ...string) int {
	p.t.Helper()
	v, err := vault.Open(p.t.Context(), p.near, storePass, vault.OpenOptions{Cloud: storeCloud})
	must(p.t, err)
	defer v.Close(context.Background())
	points, err := v.Points(p.t.Context())
	must(p.t, err)
	for _, pt := range points {
		if len(ids) > 0 && !slices.Contains(ids, pt.ID) {
			continue
		}
		fsys, err := v.FS(p.t.Context(), pt.ID, "kolla")
		must(p.t, err)
		if data, err := fs.ReadFile(fsys, "ctl1/file"); err != nil || !bytes.Equal(data, p.data[pt.ID]) {
			p.t.Errorf("point %s is listed, and is not whole: %v", pt.ID, err)
		}
	}
	return len(points)
}

// mends runs again without faults, after which everything is there.
func (p *uphill) mends() {
	p.t.Helper()
	p.honest()
	p.proxy.Set(s3proxy.Faults{})
	p.proxy.Refuse(nil)
	_, err := p.replicate()
	must(p.t, err)
	if n := p.honest(); n != len(p.data) {
		p.t.Errorf("%d points of %d are held after the next run", n, len(p.data))
	}
}

// TestStoreOnABadDay replicates, restores and prunes through what stores and networks do. What can be overcome is; nothing is sealed or
// given back that is not whole, and nothing leaves but what is to.
func TestStoreOnABadDay(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "bad", false))
	for _, c := range []struct {
		name string
		f    s3proxy.Faults
		seen string
	}{
		{"errors", s3proxy.Faults{Errors: 0.25}, "errors"},
		{"throttles", s3proxy.Faults{Throttles: 0.30}, "throttles"},
		{"slow", s3proxy.Faults{Slow: 0.15, SlowUpTo: slowest()}, "slow"},
		{"corrupt", s3proxy.Faults{Corrupt: 0.10}, "corrupt"},
		{"resets", s3proxy.Faults{Resets: 0.20}, "resets"},
		{"truncated", s3proxy.Faults{Truncate: 0.30}, "truncate"},
		{"far", s3proxy.Faults{Latency: 60 * time.Millisecond}, "requests"},
		{"all", s3proxy.Faults{Errors: 0.15, Throttles: 0.15, Corrupt: 0.01, Resets: 0.05, Truncate: 0.05, Slow: 0.05, SlowUpTo: time.Second}, "errors"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testBadDay(t, newUphill(t, l, "bad", c.name, 3), c.f, c.seen)
		})
	}
	for _, c := range []struct {
		name    string
		refusal s3proxy.Refusal
		says    string
	}{
		{"full", s3proxy.Refusal{Status: http.StatusForbidden, Code: "QuotaExceeded"}, "the bucket is full"},
		{"nospace", s3proxy.Refusal{Status: http.StatusInsufficientStorage, Code: "XMinioStorageFull"}, "the bucket is full"},
		{"clock", s3proxy.Refusal{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}, "clocks"},
		{"expired", s3proxy.Refusal{Status: http.StatusForbidden, Code: "ExpiredToken"}, "expired"},
		{"denied", s3proxy.Refusal{Status: http.StatusForbidden, Code: "AccessDenied"}, "not allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testInVain(t, newUphill(t, l, "bad", c.name, 2), c.refusal, c.says)
		})
	}
	t.Run("renewed", func(t *testing.T) {
		t.Parallel()
		testRenewedKeys(t, newUphill(t, l, "bad", "renewed", 2))
	})
}

// slowest is how long a slow answer takes at most: two seconds, or ten with HOLDFAST_SOAK, which take five minutes.
func slowest() time.Duration {
	if os.Getenv("HOLDFAST_SOAK") == "" {
		return 2 * time.Second
	}
	return 10 * time.Second
}

// testBadDay replicates under faults, of which one kind must have been met.
func testBadDay(t *testing.T, p *uphill, f s3proxy.Faults, seen string) {
	p.proxy.Set(f)
	res, err := p.replicate()
	if p.proxy.Seen(seen) == 0 {
		t.Fatalf("nothing was done to %d requests", p.proxy.Seen("requests"))
	}
	if err != nil {
		t.Errorf("it was not overcome: %v\n  hint: %s", err, problem.HintOf(err))
	}
	t.Logf("%d requests, %d hit, %d copied", p.proxy.Seen("requests"), p.proxy.Seen(seen), len(res.Points))
	p.mends()
	requests, hit := p.proxy.Seen("requests"), p.proxy.Seen(seen)
	p.proxy.Set(f)
	p.restoresAndPrunes()
	requests, hit = p.proxy.Seen("requests")-requests, p.proxy.Seen(seen)-hit
	if hit == 0 {
		t.Errorf("nothing was done to the %d requests of a restore and a prune", requests)
	}
	t.Logf("%d requests, %d hit, restored and pruned", requests, hit)
}

// restoresAndPrunes gives a point back from the bucket, and has all but the newest leave it.
func (p *uphill) restoresAndPrunes() {
	p.t.Helper()
	op := journey.At(p.t, p.site("{last: 1}"))
	dir := filepath.Join(p.t.TempDir(), "restored")
	op.Run("restore", "files", "p0", "--to", dir, "--yes", "--tier", "s3")
	if data, err := os.ReadFile(filepath.Join(dir, "ctl1/file")); err != nil || !bytes.Equal(data, p.data["p0"]) {
		p.t.Errorf("%d bytes came back of %d, or others: %v", len(data), len(p.data["p0"]), err)
	}
	op.Run("prune", "s3", "--yes", "--exclusive")
	p.proxy.Set(s3proxy.Faults{})
	if n := p.honest(); n != 1 {
		p.t.Errorf("%d points are left", n)
	}
	op.Run("verify", fmt.Sprintf("p%d", len(p.data)-1), "--full", "--tier", "s3")
}

// testInVain replicates to a store that refuses after a while, which must be said, and soon.
func testInVain(t *testing.T, p *uphill, refusal s3proxy.Refusal, says string) {
	p.proxy.Refuse(afterPuts(3, refusal))
	began := time.Now()
	_, err := p.replicate()
	if err == nil || !strings.Contains(problem.HintOf(err), says) {
		t.Errorf("it says %v, hint %q", err, problem.HintOf(err))
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v to see that it is in vain", took)
	}
	p.mends()
}

// TestBucketThatIsFull replicates into a bucket whose quota the gateway keeps, and again once it has room.
func TestBucketThatIsFull(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "quota", false))
	p := newUphill(t, l, "quota", "v", 3)
	quota := func(args ...string) {
		t.Helper()
		args = append([]string{"radosgw-admin", "-c", l.Ceph.Conf, "quota"}, append(args, "--quota-scope=bucket", "--bucket=quota")...)
		if out, err := l.Run(t.Context(), "sto1", args...); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	quota("set", "--max-size=2M")
	quota("enable")
	var err error
	await(t, "the bucket is full", func() bool { // the gateway counts now and then
		_, err = p.replicate()
		return err != nil
	})
	if !strings.Contains(problem.HintOf(err), "the bucket is full") {
		t.Errorf("it says %v, hint %q", err, problem.HintOf(err))
	}
	quota("disable")
	await(t, "the gateway knows that it has room", func() bool {
		_, err = p.replicate()
		return err == nil
	})
	p.mends()
}

// afterPuts refuses every upload after some.
func afterPuts(n int, refusal s3proxy.Refusal) func(*http.Request) s3proxy.Refusal {
	return func(r *http.Request) s3proxy.Refusal {
		if r.Method != http.MethodPut {
			return s3proxy.Refusal{}
		}
		if n--; n >= 0 {
			return s3proxy.Refusal{}
		}
		return refusal
	}
}

// testRenewedKeys takes the keys away in the middle of a run, when there are others in their place.
func testRenewedKeys(t *testing.T, p *uphill) {
	out, err := p.lab.Run(t.Context(), "sto1", "radosgw-admin", "-c", p.lab.Ceph.Conf, "key", "create", "--uid=holdfast", "--access-key=SECONDKEY", "--secret-key=thesecondsecretkey")
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	old := p.keys.Access.Reveal()
	refuse := afterPuts(2, s3proxy.Refusal{Status: http.StatusForbidden, Code: "ExpiredToken"})
	p.proxy.Refuse(func(r *http.Request) s3proxy.Refusal {
		if !strings.Contains(r.Header.Get("Authorization"), old) {
			return s3proxy.Refusal{}
		}
		f := refuse(r)
		if f.Status != 0 {
			p.mu.Lock()
			p.keys = s3.Keys{Access: secret.New("SECONDKEY"), Secret: secret.New("thesecondsecretkey")}
			p.mu.Unlock()
		}
		return f
	})
	if res, err := p.replicate(); err != nil || len(res.Points) != 2 {
		t.Errorf("the run did not go on with the new keys: %+v, %v", res, err)
	}
	if p.proxy.Seen("refusals") == 0 {
		t.Error("the old keys were never refused")
	}
	p.mends()
}
