package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/source/rbd"
	"holdfast/test/journey"
)

// TestSnapshotsOfDeletedServers: a disk whose server was deleted keeps our snapshot until somebody cleans up, and that takes
// the snapshots of deleted servers alone.
func TestSnapshotsOfDeletedServers(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), labtest.Ceph)
	op := journey.At(t, journey.NewSite(t, l, func(config string) string {
		return strings.Replace(config, "pools: [volumes, images]", "pools: [vms]", 1)
	}))
	op.Init()
	op.Backup("rbd", "--only", "vms/[0-3]*")
	list := func(args ...string) (all []rbd.Snapshot) {
		t.Helper()
		if err := json.Unmarshal([]byte(op.Run(append(args, "--json")...)), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := list("snapshots")
	if len(before) < 3 || before[0].Needed == "" {
		t.Fatalf("snapshots: %+v", before)
	}
	// Beside the one that is deleted now, the lab has a disk that no server ever had.
	victim := strings.TrimSuffix(strings.TrimPrefix(before[0].Image, "vms/"), "_disk")
	query(t, l, "ctl1", "UPDATE nova.instances SET deleted = id, deleted_at = NOW() WHERE uuid = '"+victim+"'")
	planned := list("snapshots", "clean", "--orphans", "--dry-run")
	if len(list("snapshots")) != len(before) {
		t.Fatal("a dry run removed something")
	}
	if len(list("snapshots", "clean", "--yes")) != 0 {
		t.Error("without being asked about orphans, something was removed that is needed")
	}
	removed := list("snapshots", "clean", "--orphans", "--yes")
	after := list("snapshots")
	if len(removed) != len(planned) || len(removed) == 0 || len(removed) > 2 || len(after) != len(before)-len(removed) {
		t.Errorf("removed %+v, planned %+v, %d of %d left", removed, planned, len(after), len(before))
	}
	for _, k := range after {
		if strings.Contains(k.Image, victim) {
			t.Errorf("left: %+v", k)
		}
	}
	if out := op.Run("snapshots"); strings.Contains(out, victim) || !strings.Contains(out, "the next difference to point") {
		t.Errorf("told: %s", out)
	}
}
