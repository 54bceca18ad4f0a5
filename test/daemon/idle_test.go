package daemon_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/coverage"
)

// What an idle daemon may cost that knows of much.
const (
	known      = 10_000
	mostMemory = 150 << 20
	mostStart  = time.Second
	mostCPU    = 0.005 // of a core
	watched    = 20 * time.Second
)

// TestIdle has a daemon know of 10,000 points with 10,000 images, and looks at what it costs to know.
func TestIdle(t *testing.T) {
	s := newSite(t)
	d := s.starts()
	s.await("it has looked", func() bool { o, err := s.client().Overview(t.Context()); return err == nil && o != nil })
	d.kills(syscall.SIGTERM)
	o := synthetic(time.Now())
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	s.write("state/serve/overview.json", string(data))
	began := time.Now()
	d = s.starts()
	start := time.Since(began)
	cpu := spent(t, d.Process.Pid)
	if cpu > mostStart {
		t.Errorf("%s of a processor until it answered", cpu)
	}
	time.Sleep(watched) // this is what is measured
	share := float64(spent(t, d.Process.Pid)-cpu) / float64(watched)
	memory := resident(t, d.Process.Pid)
	t.Logf("%d bytes of overview, answers after %s and %s of a processor, %d MiB resident, %.3f %% of a core", len(data), start, cpu, memory>>20, 100*share)
	if got, err := s.client().Overview(t.Context()); err != nil || len(got.Components) != known {
		t.Errorf("it knows nothing: %v", err)
	}
	if memory > mostMemory || share > mostCPU {
		t.Errorf("%d MiB, %.2f %%", memory>>20, 100*share)
	}
}

func synthetic(now time.Time) *coverage.Overview {
	o := &coverage.Overview{Cloud: "lab", At: now, Points: known, Others: map[string]int{}}
	for i := range known {
		at := now.Add(-time.Duration(i) * time.Second)
		c := coverage.Component{Source: "rbd", Component: fmt.Sprintf("volumes/volume-%036d", i), Point: fmt.Sprintf("20261123-%06d-abcd", i), At: &at, Verified: &at, Last: "good"}
		for _, tier := range []string{"local", "s3", "offsite"} {
			c.Tiers = append(c.Tiers, coverage.Copy{Tier: tier, Point: c.Point, At: &at, Verified: &at, Depth: "sample"})
		}
		o.Components = append(o.Components, c)
	}
	return o
}

// spent is the time that a process has had of the processors.
func spent(t *testing.T, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] { // in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func resident(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
