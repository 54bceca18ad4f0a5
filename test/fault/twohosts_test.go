package fault

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/s3proxy"
	"holdfast/test/journey"
)

// TestTwoHostsReplicate has a second host, with a state of its own, replicate into a bucket while a first one is in the middle of it:
// it gives way, and what the first brought there is what it finds.
func TestTwoHostsReplicate(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "twohosts", false))
	p := newUphill(t, l, "twohosts", "v", 2)
	first := journey.At(t, p.site("1y"))
	second := journey.At(t, p.siteAt("1y", l.Ceph.Endpoint))

	midway, goOn := make(chan struct{}), make(chan struct{})
	p.proxy.Refuse(func(r *http.Request) s3proxy.Refusal {
		if puts(r, "p") && midway != nil {
			close(midway)
			midway = nil
			<-goOn
		}
		return s3proxy.Refusal{}
	})
	waits := midway
	run := first.Start("replicate", "s3")
	select {
	case <-waits:
	case <-run.Ended():
		t.Fatalf("it ended before: %+v", run.Wait())
	}
	busy := second.Try("replicate", "s3")
	close(goOn)
	if busy.Code != 6 || !strings.Contains(busy.Stderr, "it is in use: replicate, process ") {
		t.Errorf("the second ended with %d: %s", busy.Code, busy.Stderr)
	}
	if r := run.Wait(); r.Code != 0 {
		t.Errorf("the first ended with %d: %s", r.Code, r.Stderr)
	}
	if out := second.Run("replicate", "s3"); !strings.Contains(out, "0 points copied from local, 2 held before") {
		t.Errorf("the second says then\n%s", out)
	}
	if n := p.honest(); n != 2 {
		t.Errorf("%d points are held", n)
	}
	second.Run("verify", "--full", "--all", "--tier", "s3")
}
