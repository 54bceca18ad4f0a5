package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
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
	t.Run("by a backup", func(t *testing.T) { disksOfDeletedServers(t, l) })
}

// disksOfDeletedServers deletes one server before a backup and one during it, as Nova does. Neither disk keeps a snapshot of
// ours, so that it can be removed, and neither is captured any more.
func disksOfDeletedServers(t *testing.T, l *lab.Lab) {
	rows := strings.Fields(query(t, l, "ctl1", "SELECT uuid FROM nova.instances WHERE NOT deleted AND image_ref <> '' AND vm_state = 'active' ORDER BY uuid DESC LIMIT 3"))
	before, during, stays := rows[0], rows[1], rows[2]
	op := journey.At(t, journey.NewSite(t, l, func(config string) string {
		config = strings.Replace(config, "pools: [volumes, images]", "pools: [vms]", 1) + "  include:\n"
		for _, id := range rows {
			config += "    - {name: " + id + "_disk}\n"
		}
		return config
	}))
	op.Init()
	op.Backup("rbd")
	s := cloudScene{t: t, lab: l, op: op}
	remove := func(id string) {
		t.Helper()
		query(t, l, "ctl1", "UPDATE nova.instances SET deleted = id, deleted_at = NOW(), vm_state = 'deleted' WHERE uuid = '"+id+"'")
		if kept := s.novaDeletes(id); len(kept) != 1 {
			t.Errorf("Nova could not remove %q", kept)
		}
	}
	for _, id := range rows[1:] {
		if err := l.ChangeImages(t.Context(), (&lab.Image{Pool: "vms", Name: id + "_disk"}).Do("write", 0, 16<<20, 9)); err != nil {
			t.Fatal(err)
		}
	}
	remove(before)
	run := op.Start("backup", "rbd", "--limit", "4MiB") // so that the export is there for a while
	reader := run.FreezeChild(0, func(p journey.Process) bool {
		return p.Name() == "rbd" && p.Has("export-diff") && strings.Contains(strings.Join(p.Args, " "), during)
	})
	remove(during)
	reader.Continue()
	if r := run.Wait(); r.Code != 0 || !strings.Contains(r.Stderr, "server "+during+" was deleted") {
		t.Errorf("the backup ended with %d: %s", r.Code, r.Stderr)
	}
	p := op.Show("latest:rbd")
	if c, _ := p.Component("rbd", "vms/"+before+"_disk"); c.State != point.Skipped || !strings.Contains(c.Reason, "its server was deleted") {
		t.Errorf("the disk of a server that was deleted before is %s: %s", c.State, c.Reason)
	}
	if c, _ := p.Component("rbd", "vms/"+during+"_disk"); c.State != point.Good {
		t.Errorf("the disk of a server that is deleted while it is read is %s: %s", c.State, c.Reason)
	}
	for _, id := range []string{before, during} {
		if kept := s.novaDeletes(id); len(kept) != 0 {
			t.Errorf("%q cannot be removed: %q", kept, s.snapshots("vms/"+id+"_disk"))
		}
	}
	if got := s.snapshots("vms/" + stays + "_disk"); len(got) != 1 {
		t.Errorf("the disk of a server that stays has the snapshots %q", got)
	}
}
