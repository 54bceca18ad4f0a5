// Package metrics says in numbers what coverage judges and jobs do: for Prometheus over HTTP, and as a file for node_exporter where
// no daemon is. How many series there are depends on the configuration and not on the number of images, unless that is asked for.
package metrics

import (
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"holdfast/internal/coverage"
	"holdfast/internal/job"
	"holdfast/internal/notify"
)

// Options say what is measured.
type Options struct {
	Cloud    string
	Version  string
	State    string // directory of what is remembered between runs; "" remembers nothing
	PerImage bool   // a series for each image, and not for each pool
	// Jobs and Sources are those of the configuration: of others nothing is shown of which an alert could fire. Nil is all.
	Jobs    []job.Job
	Sources []string
	Now     func() time.Time
	// Notify tells how it stands with telling, when it is asked for; nil for nothing.
	Notify func() []notify.Status
}

// Metrics is told what happens, and tells Prometheus.
type Metrics struct {
	opts  Options
	full  *prometheus.Registry // with what is known of this process
	bare  *prometheus.Registry // without what holds only while it is asked for
	began time.Time            // by the monotonic clock
	wall  time.Time            // by the clock that can be set

	mu       sync.Mutex
	overview *view // nil before the first
	waiting  int
	running  int
	queued   bool // a queue is known
	next     map[string]time.Time
	done     history
	jumps    float64

	saving sync.Mutex
	missed []job.Result // that could not be written yet
}

// New makes metrics that know what was remembered.
func New(o Options) *Metrics {
	m := &Metrics{opts: o, full: prometheus.NewRegistry(), bare: prometheus.NewRegistry(), began: time.Now()}
	m.wall = m.began.Round(0)
	m.done = m.recall()
	m.full.MustRegister(collector{m, true}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.bare.MustRegister(collector{m, false})
	return m
}

// Overview takes how well the cloud is protected.
func (m *Metrics) Overview(o coverage.Overview) {
	v := newView(o, m.opts.PerImage)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overview = v
}

// Result takes what came of a step, and remembers it.
func (m *Metrics) Result(r job.Result) { m.remember(r) }

// Queue takes how many steps wait and how many are under way.
func (m *Metrics) Queue(waiting, running int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting, m.running, m.queued = waiting, running, true
}

// Next takes when each job is due next; those that never are have no place in it.
func (m *Metrics) Next(due map[string]time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = maps.Clone(due)
}

// collector makes the series, each time anew: ages grow.
type collector struct {
	m    *Metrics
	live bool
}

// Describe names every family.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect makes every series.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	var told []notify.Status
	if c.m.opts.Notify != nil {
		told = c.m.opts.Notify() // reads a file: not under the lock
	}
	now := c.m.opts.Now()
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	ch <- buildInfo.sample(1, c.m.opts.Version, runtime.Version(), c.m.opts.Cloud)
	if c.live {
		ch <- clock.sample(seconds(now))
		ch <- jumps.sample(c.m.jumped(time.Now()))
	}
	if c.m.overview != nil {
		c.m.overview.collect(ch, now)
	}
	c.m.done.collect(ch, c.m.overview, c.m.opts)
	if c.m.queued {
		ch <- queueLength.sample(float64(c.m.waiting))
		ch <- running.sample(float64(c.m.running))
	}
	for _, name := range slices.Sorted(maps.Keys(c.m.next)) {
		ch <- nextRun.sample(seconds(c.m.next[name]), name)
	}
	collectNotify(ch, told, now)
}

// leap is what the clock may drift between two looks before it counts as set.
const leap = 30 * time.Second

// jumped compares the clock that can be set with the one that cannot, and counts.
func (m *Metrics) jumped(now time.Time) float64 {
	wall := now.Round(0)
	if d := wall.Sub(m.wall) - now.Sub(m.began); d > leap || d < -leap {
		m.jumps++
		m.wall, m.began = wall, now
	}
	return m.jumps
}

// seconds is a moment in Unix time, 0 for none.
func seconds(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return float64(at.UnixMilli()) / 1000
}

// age is how long ago something was: +Inf for never.
func age(at *time.Time, now time.Time) float64 {
	if at == nil || at.IsZero() {
		return math.Inf(1)
	}
	return max(now.Sub(*at).Seconds(), 0)
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
