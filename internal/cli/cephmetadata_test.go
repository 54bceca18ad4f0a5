package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

func TestCephOfSeveralClusters(t *testing.T) {
	c, _ := kollaCloud(t)
	c.cfg.Ceph = []config.Ceph{
		{Name: "east", Conf: "/etc/ceph/ceph.conf", ID: "holdfast"},
		{Name: "west", Conf: "/etc/ceph/west.conf", ID: "backup", RunOn: "ctl1", Container: "ceph_mon", Engine: "podman"},
	}
	c.cfg.RBD = &config.RBD{Pools: []config.Pool{{Name: "volumes"}, {Name: "images", Cluster: "west"}, {Name: "vms", Cluster: "east"}}}
	a, _, _ := testApp("")
	from := setup{cfg: c.cfg, described: func() (*cloud, error) { return c, nil }}
	s, err := a.source(t.Context(), from, "ceph")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan(t.Context())
	hosts := map[string]string{}
	for _, task := range plan.Tasks {
		hosts[task.Path] = task.Host
	}
	if diff := cmp.Diff(map[string]string{"ceph/east": "local", "ceph/west": "ceph_mon"}, hosts); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([][]string{{"volumes", "vms"}, {"images"}}, [][]string{backedUp(c.cfg, 0), backedUp(c.cfg, 1)}); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	if got := configured(c.cfg); !cmp.Equal(got, []string{"mariadb", "ceph", "rbd"}) {
		t.Errorf("configured are %q", got)
	}
	c.cfg.Ceph[1].RunOn = "nowhere"
	if _, err := a.source(t.Context(), from, "ceph"); problem.KindOf(err) != problem.Usage {
		t.Errorf("on a host that is not there: %v", err)
	}
}
