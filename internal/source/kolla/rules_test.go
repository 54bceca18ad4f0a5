package kolla

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTolerance(t *testing.T) {
	for _, tc := range []struct {
		share float64
		hosts int
		want  int
	}{{0.1, 100, 10}, {0.1, 29, 2}, {0.1, 3, 1}, {0.1, 0, 1}, {0, 100, 0}, {1, 7, 7}, {0.3, 10, 3}} {
		if got := tolerance(tc.share, tc.hosts); got != tc.want {
			t.Errorf("%v of %d is %d, want %d", tc.share, tc.hosts, got, tc.want)
		}
	}
}

func TestItemsStandWhereKollaPutsThem(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	moved := func(name string) (string, bool) { return "/srv/nova", name == "nova_instance_datadir_volume" }
	renamed := func(name string) (string, bool) { return "nova2", name == "nova_instance_datadir_volume" }
	id := item{path: "nova_compute/compute_id", setting: "nova_instance_datadir_volume"}
	for want, got := range map[string]string{
		"/v/nova_compute/_data/compute_id": id.in("/v", none),
		"/srv/nova/compute_id":             id.in("/v", moved),
		"/v/nova2/_data/compute_id":        id.in("/v", renamed),
		"/v/letsencrypt*/_data":            item{path: "letsencrypt*"}.in("/v", none),
		"/etc/hosts":                       item{path: "/etc/hosts"}.in("/v", moved),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOutermostKeepsEachPathOnce(t *testing.T) {
	got := outermost([]string{"/etc/kolla/config", "/etc/kolla", "/etc/kolla-extra", "/etc/kolla", "/opt/a/b", "/opt/a/bc"})
	if diff := cmp.Diff([]string{"/etc/kolla", "/etc/kolla-extra", "/opt/a/b", "/opt/a/bc"}, got); diff != "" {
		t.Error(diff)
	}
}
