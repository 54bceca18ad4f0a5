package fault

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/s3proxy"
	"holdfast/test/journey"
)

// TestBucketOnTheSameCluster: a bucket that a gateway of the cluster serves which is backed up is no copy, as soon as a backup or
// doctor has looked; one that another address serves is.
func TestBucketOnTheSameCluster(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "same", false))
	proxy, err := s3proxy.Listen(l.Ceph.Endpoint, 1) // as far as anybody can tell another store
	must(t, err)
	t.Cleanup(func() { proxy.Close() })
	site := journey.NewSite(t, l, func(config string) string {
		tiers := l.S3Tier("own", "same/own", "") + l.S3Tier("other", "same/other", proxy.URL)
		return strings.Replace(config, "kolla:\n", tiers+"kolla:\n", 1)
	})
	op := journey.At(t, site)
	op.Run("init", "--yes")
	op.Backup("ceph")
	counted := func(when string) {
		t.Helper()
		var s struct {
			Tiers []struct {
				Tier, Medium string
				Own          bool
			}
		}
		must(t, json.Unmarshal([]byte(op.Try("status", "--json").Stdout), &s))
		if len(s.Tiers) != 3 || s.Tiers[1].Medium != "ceph" || !s.Tiers[1].Own || s.Tiers[2].Own || s.Tiers[2].Medium == s.Tiers[1].Medium {
			t.Errorf("after %s: %+v", when, s.Tiers)
		}
	}
	counted("a backup")
	must(t, os.Remove(filepath.Join(site.State, "endpoints.json")))
	if out := op.Try("doctor").Stdout; !strings.Contains(out, "the bucket lies on Ceph cluster ceph") || !strings.Contains(out, "no gateway of ceph is at "+proxy.URL) {
		t.Errorf("doctor says\n%s", out)
	}
	counted("doctor")
}
