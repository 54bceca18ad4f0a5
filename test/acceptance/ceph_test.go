package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/restore"
	"holdfast/internal/source/ceph"
	"holdfast/test/journey"
)

// TestCephMetadata captures a cluster's metadata, changes the cluster, sees the difference, and undoes it by the plan.
func TestCephMetadata(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	op := journey.New(t, l)
	op.Run("init", "--yes")
	sto := func(line string) string { return shell(t, l, "sto1", "export CEPH_CONF="+l.Ceph.Conf+"; "+line) }
	sto("ceph auth get-or-create client.cinder mon 'profile rbd' osd 'profile rbd pool=volumes'")

	p := op.Backup("ceph")
	c, ok := p.Component(ceph.SourceName, "ceph")
	if !ok || p.State != point.Complete || c.State != point.Good || c.Identity["fsid"] != l.Ceph.FSID {
		t.Fatalf("point: %+v", p)
	}
	op.Run("verify", p.ID, "--full")
	if out := op.Run("restore", "ceph", p.ID, "--diff"); !strings.Contains(out, "CRUSH map: the same") || !strings.Contains(out, "capabilities: the same") {
		t.Errorf("nothing changed: %s", out)
	}
	dir := filepath.Join(t.TempDir(), "ceph")
	op.Run("restore", "ceph", p.ID, "--to", dir, "--yes")
	if plan := read(t, filepath.Join(dir, ceph.PlanName)); !strings.Contains(plan, l.Ceph.FSID) || strings.Contains(plan, "Not captured") {
		t.Errorf("the plan is\n%s", plan)
	}
	if info, err := os.Stat(filepath.Join(dir, ceph.KeyringFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keyring: %v, %v", info, err)
	}
	op.Fails(1, []string{"empty"}, "restore", "ceph", p.ID, "--to", dir, "--yes")
	op.Fails(4, []string{"no cluster"}, "restore", "ceph", p.ID, "--cluster", "north", "--to", dir+"2", "--yes")

	was := sto("ceph auth get-key client.cinder")
	sto("ceph auth rm client.cinder; ceph auth get-or-create client.cinder mon 'allow r'; ceph osd crush rule create-replicated other default osd")
	d := diff(t, op, p.ID)
	if len(d.Auth.Entities) != 1 || d.Auth.Entities[0].Entity != "client.cinder" || d.Auth.Entities[0].Key != "differs" || len(d.Auth.Entities[0].Caps) != 2 {
		t.Errorf("keys differ in %+v", d.Auth)
	}
	if d.Same || d.Crush.Form != "text" || !strings.Contains(strings.Join(d.Crush.Lines, "\n"), "\n+ rule other {") {
		t.Errorf("CRUSH maps differ in %+v", d.Crush)
	}
	if out := op.Run("restore", "ceph", p.ID, "--diff"); strings.Contains(out, strings.TrimSpace(was)) || strings.Contains(out, strings.TrimSpace(sto("ceph auth get-key client.cinder"))) {
		t.Error("a key is told")
	}
	sto("cd " + dir + " && ceph auth import -i auth/clients.keyring && ceph osd setcrushmap -i crush/crushmap")
	if d := diff(t, op, p.ID); !d.Same {
		t.Errorf("after the plan's commands: %+v", d)
	}
}

func diff(t *testing.T, op *journey.Operator, id string) (d restore.CephDiff) {
	t.Helper()
	if err := json.Unmarshal([]byte(op.Run("restore", "ceph", id, "--diff", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}
