package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/inventory"
)

// A restore of a cluster takes every node of the shard, also those that shards.nodes keeps backups away from.
func TestClusterNodesAreAllOfTheShard(t *testing.T) {
	inv, err := inventory.Parse([]byte(`{
		"_meta": {"hostvars": {"ctl4": {"mariadb_shard_id": 1, "ansible_host": "192.0.2.4"}}},
		"mariadb": {"hosts": ["ctl1", "ctl2", "ctl3", "ctl4"]}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{inv: inv, cfg: &config.Config{MariaDB: &config.MariaDB{
		Run: "host", Shards: []config.Shard{{ID: 0, Nodes: []string{"ctl2"}}},
	}}}
	for shard, want := range map[int][]string{0: {"ctl1", "ctl2", "ctl3"}, 1: {"ctl4"}, 2: nil} {
		nodes, err := c.clusterNodes(shard)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range nodes {
			got = append(got, n.Name)
			if n.Server.Name != n.Name || n.Machine == nil {
				t.Errorf("node %s is %+v", n.Name, n)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("shard %d (-want +got)\n%s", shard, diff)
		}
	}
}
