package fault

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/s3proxy"
	"holdfast/internal/point"
	"holdfast/internal/tier"
	"holdfast/test/journey"
)

// stage is a part of a command as the store of its tier sees it: from the request that begins fits until the next stage, or the end.
type stage struct {
	name   string
	begins func(r *http.Request) bool
}

func puts(r *http.Request, blob string) bool {
	return r.Method == http.MethodPut && strings.HasPrefix(blobOf(r), blob)
}

// blobOf is what a request is about, "" when it is about the bucket.
func blobOf(r *http.Request) string {
	parts := strings.SplitN(r.URL.Path, "/", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[3]
}

// copyStages are those of the replication of one point, in their order.
var copyStages = []stage{
	{"open", func(*http.Request) bool { return true }},
	{"contents", func(r *http.Request) bool { return puts(r, "p") }},
	{"proof", func(r *http.Request) bool { return r.Method == http.MethodGet && strings.HasPrefix(blobOf(r), "p") }},
	{"record", func(r *http.Request) bool { return puts(r, "holdfast.point.") }},
	{"end", func(r *http.Request) bool { return puts(r, "x") }},
}

// watch counts the requests of one run by its stages, and stops at one of them.
type watch struct {
	stages []stage
	stage  int           // in which a request is waited for
	nth    int           // it is in the stage, from 1 on; 0 is none
	met    chan struct{} // closed when it came
	goOn   chan struct{} // until this is closed, neither it nor one after it comes to the store

	mu    sync.Mutex
	count []int // requests, by the stages that have begun
}

// watch has every request to the far store looked at from now on.
func (p *uphill) watch(stages []stage, i, nth int) *watch {
	w := &watch{stages: stages, stage: i, nth: nth, met: make(chan struct{}), goOn: make(chan struct{})}
	p.proxy.Refuse(w.see)
	return w
}

// see is called with one request at a time.
func (w *watch) see(r *http.Request) s3proxy.Refusal {
	if w.isMet(r) {
		close(w.met)
		<-w.goOn
	}
	return s3proxy.Refusal{}
}

func (w *watch) isMet(r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.count); n < len(w.stages) && w.stages[n].begins(r) {
		w.count = append(w.count, 0)
	}
	now := len(w.count) - 1
	w.count[now]++
	return now == w.stage && w.count[now] == w.nth
}

// came is how many stages have begun.
func (w *watch) came() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.count)
}

// site is a configuration that has both vaults, the far one behind the proxy, and a state of its own.
func (p *uphill) site(keep string) journey.Site {
	p.t.Helper()
	return p.siteAt(keep, p.proxy.URL)
}

// siteAt is site for another endpoint of the far vault.
func (p *uphill) siteAt(keep, endpoint string) journey.Site {
	p.t.Helper()
	dir := p.t.TempDir()
	pass := filepath.Join(dir, "passphrase")
	write(p.t, pass, "a passphrase for tests\n")
	write(p.t, filepath.Join(dir, "holdfast.yml"), fmt.Sprintf(`cloud: %s
state: %s/state
tiers:
  - {name: local, url: 'file://%s', passphrase: {file: %s}, keep: 1y, reserve: 0%%}
  - name: s3
    url: %s
    passphrase: {file: %s}
    keep: %s
    s3: {endpoint: %q, path_style: true, access_key: {file: %[9]s/s3.access}, secret_key: {file: %[9]s/s3.secret}}
`, storeCloud, dir, p.local.Location().URL, pass, p.far.URL, pass, keep, endpoint, filepath.Join(p.lab.Options.Dir, "secrets")))
	return journey.Site{Config: filepath.Join(dir, "holdfast.yml")}
}

// inAnAnswer is how long a store may take to answer: some of the requests that are under way at a kill have taken effect by then.
const inAnAnswer = 60 * time.Millisecond

// kills is how many of them each stage gets: one, or what HOLDFAST_SOAK says.
func kills() int {
	if os.Getenv("HOLDFAST_SOAK") == "" {
		return 1
	}
	return moments()
}

// TestSoakKilledReplicate kills holdfast at seeded random requests of every stage of a replication to a bucket. Whatever is listed
// there then is whole, and the next run sends no more than what the killed one had not brought there.
func TestSoakKilledReplicate(t *testing.T) {
	k := newFarKiller(t, "killedreplicate", 1, "1y")
	k.Run("replicate", "s3")
	count := k.counts(copyStages, func() []string {
		k.seal("measured", 3<<20)
		return []string{"replicate", "s3"}
	})
	for i, s := range copyStages {
		t.Run(s.name, func(t *testing.T) {
			k.as(t)
			k.perStage(i, count[i], k.killsCopy)
		})
	}
	k.as(t)
	k.honest()
	k.Run("verify", "--full", "--all", "--tier", "s3")
}

// pruneStages are those of a prune that reclaims the space at once, in their order.
var pruneStages = []stage{
	{"plan", func(*http.Request) bool { return true }},
	{"remove", func(r *http.Request) bool { return puts(r, "q") }},
	{"reclaim", func(r *http.Request) bool { return puts(r, "kopia.maintenance") }},
}

// TestSoakKilledPruneInBucket kills holdfast at seeded random requests of every stage of a prune of a bucket that reclaims the space at
// once. Whatever is listed then is whole, the newest point among it, and the next prune does the rest.
func TestSoakKilledPruneInBucket(t *testing.T) {
	k := newFarKiller(t, "killedprune", 1, "{last: 1}")
	k.brings()
	count := k.counts(pruneStages, k.pruning)
	for i, s := range pruneStages {
		t.Run(s.name, func(t *testing.T) {
			k.as(t)
			k.perStage(i, count[i], k.killsPrune)
		})
	}
}

// farKiller kills commands that work at a far vault.
type farKiller struct {
	*uphill
	*journey.Operator
	site journey.Site
	dice *rand.Rand
}

func newFarKiller(t *testing.T, bucket string, points int, keep string) *farKiller {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), bucket, false))
	p := newUphill(t, l, bucket, "v", points)
	site := p.site(keep)
	return &farKiller{p, journey.At(t, site), site, rand.New(rand.NewPCG(19, 23))}
}

// as has a test answer for what comes.
func (k *farKiller) as(t *testing.T) { k.t, k.Operator = t, journey.At(t, k.site) }

// counts runs a command line to its end, and returns how many requests each of its stages has.
func (k *farKiller) counts(stages []stage, prepare func() []string) []int {
	k.t.Helper()
	args := prepare()
	w := k.watch(stages, 0, 0)
	defer k.proxy.Refuse(nil)
	k.Run(args...)
	if w.came() < len(stages) {
		k.t.Fatalf("it came to %d stages of %d", w.came(), len(stages))
	}
	return w.count
}

// perStage kills at seeded requests of a stage until as many kills as it gets have met it.
func (k *farKiller) perStage(i, requests int, kill func(i, nth int) bool) {
	k.t.Helper()
	for met, tries := 0, 0; met < kills(); tries++ {
		if tries > 4*kills() {
			k.t.Fatalf("only %d of %d kills met the stage", met, kills())
		}
		if kill(i, 1+k.dice.IntN(requests)) {
			met++
		}
	}
}

// kill starts a command line and kills it while that request of its stage i is on its way to the store. It returns how many stages
// had begun by then, and false when the command had ended before.
func (k *farKiller) kill(stages []stage, i, nth int, args ...string) (came int, met bool) {
	k.t.Helper()
	w := k.watch(stages, i, nth)
	defer k.proxy.Refuse(nil)
	run := k.Start(args...)
	select {
	case <-w.met:
	case <-run.Ended():
	}
	after := time.Duration(k.dice.Int64N(int64(inAnAnswer)))
	select {
	case <-time.After(after): // the moment is what the seed makes it
	case <-run.Ended():
	}
	_, killed := run.Kill()
	close(w.goOn)
	came = w.came()
	k.t.Logf("killed %v after request %d of the stage was sent: %v, %d stages begun", after.Round(time.Millisecond), nth, killed, came)
	if !killed && run.Wait().Code != 0 {
		k.t.Errorf("it ended before: %+v", run.Wait())
	}
	return came, killed
}

// killsCopy kills the replication of a new point, and reports whether the kill met the stage.
func (k *farKiller) killsCopy(i, nth int) (met bool) {
	k.t.Helper()
	before := len(k.data)
	id := fmt.Sprintf("p%d", before)
	k.seal(id, 3<<20)
	came, met := k.kill(copyStages, i, nth, "replicate", "s3")
	if held := k.holdsWhole(id); held < before {
		k.t.Errorf("%d points were held before the kill, %d are now", before, held)
	}
	lacks := contents(k.replicated("--dry-run"))
	if came > 2 && lacks > 0 { // it was being proven: all of it was there
		k.t.Errorf("killed at stage %d it lacks %d contents", came, lacks)
	}
	if sent := contents(k.replicated()); sent > lacks {
		k.t.Errorf("%d contents lacked, %d were sent", lacks, sent)
	}
	if held := k.holdsWhole(id); held != len(k.data) {
		k.t.Errorf("%d points of %d are held after the next run", held, len(k.data))
	}
	return met
}

// replicated runs replicate and returns what it did.
func (k *farKiller) replicated(more ...string) tier.Result {
	k.t.Helper()
	var results []tier.Result
	must(k.t, json.Unmarshal([]byte(k.Run(append([]string{"replicate", "s3", "--json"}, more...)...)), &results))
	return results[0]
}

// contents is how many a replication sent, or would send.
func contents(r tier.Result) (n int) {
	for _, p := range r.Points {
		n += p.Contents
	}
	return n
}

// brings replicates new points, of which all but the newest are to leave the bucket again, and returns their names.
func (k *farKiller) brings() (ids []string) {
	k.t.Helper()
	args := []string{"replicate", "s3"}
	for range 3 {
		id := fmt.Sprintf("p%03d", len(k.data))
		k.seal(id, 1<<20)
		ids, args = append(ids, id), append(args, "--point", id)
	}
	k.Run(args...)
	return ids
}

// pruning is the command line of a prune of all that should leave.
func (k *farKiller) pruning() []string {
	k.t.Helper()
	var plans []struct{ Removed int }
	must(k.t, json.Unmarshal([]byte(k.Run("prune", "s3", "--dry-run", "--json")), &plans))
	return []string{"prune", "s3", "--exclusive", "--confirm", fmt.Sprint(plans[0].Removed)}
}

// killsPrune kills a prune, and reports whether the kill met the stage.
func (k *farKiller) killsPrune(i, nth int) (met bool) {
	k.t.Helper()
	ids := k.brings()
	newest := ids[len(ids)-1]
	_, met = k.kill(pruneStages, i, nth, k.pruning()...)
	if held := k.honest(); held == 0 {
		k.t.Error("nothing is held after the kill")
	}
	k.Run(k.pruning()...)
	if held := k.held(); len(held) != 1 || held[0] != newest {
		k.t.Errorf("the next prune leaves %v, want %s alone", held, newest)
	}
	k.Run("verify", "--full", "--all", "--tier", "s3")
	return met
}

// held are the points that the bucket lists.
func (k *farKiller) held() (ids []string) {
	k.t.Helper()
	var points []point.Point
	must(k.t, json.Unmarshal([]byte(k.Run("points", "--tier", "s3", "--json")), &points))
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	return ids
}
