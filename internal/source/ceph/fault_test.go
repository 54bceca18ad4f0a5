package ceph

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

// TestMissingCapabilities captures as a client that may do less and less wrong things, and then types what the doctor says.
func TestMissingCapabilities(t *testing.T) {
	b := newBench(t)
	b.id = "poor"
	b.pool = []string{"volumes"}
	keyring := filepath.Join(t.TempDir(), "keyring")
	b.admin("ceph auth get-or-create client.poor mon 'allow r' osd 'profile rbd pool=images' -o " + keyring)
	b.after("ceph auth rm client.poor")
	conf := filepath.Join(t.TempDir(), "ceph.conf")
	text, err := os.ReadFile(b.lab.Ceph.Conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, append(text, "\n[client.poor]\nkeyring = "+keyring+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := *b.lab.Ceph
	b.lab.Ceph.Conf = conf
	defer func() { *b.lab.Ceph = whole }()

	c := b.capture(point.ComponentPartial)
	for _, want := range []string{
		`auth/keyring (client.poor lacks mon 'allow command "auth export"')`,
		`config-key/keys.json (client.poor lacks mon 'allow command "config-key ls"')`,
		`mgr/balancer.json (client.poor lacks mgr 'allow r')`,
		`pools/volumes/pool.json (client.poor lacks osd 'profile rbd-read-only pool=volumes')`,
		`rgw (client.poor lacks osd 'allow r pool=.rgw.root')`,
		"holdfast doctor prints the capabilities",
	} {
		if !strings.Contains(c.Reason, want) {
			t.Errorf("not said: %s\nin %s", want, c.Reason)
		}
	}
	if files := c.contents(t); files["pools/images/images.json"].State != Present || files[osdFile].State != Present {
		t.Error("what it may see was not captured")
	}
	if !bytes.Contains(c.files[PlanName].Data, []byte("**Not captured**")) {
		t.Error("the plan does not say what is missing")
	}
	mend := b.mend()
	if want := "osd 'profile rbd pool=volumes, profile rbd-read-only pool=backups, profile rbd-read-only pool=images, profile rbd-read-only pool=vms, allow r pool=.rgw.root, allow r pool=default.rgw.meta namespace=users.uid'"; !strings.HasSuffix(mend, want) {
		t.Errorf("the doctor says %s", mend)
	}
	b.admin(mend)
	b.capture(point.Good)
	b.content()

	// One that may look at everything and not take a snapshot.
	b.admin(strings.Replace(mend, "profile rbd pool=volumes", "profile rbd-read-only pool=volumes", 1))
	if found := b.lacking(); !strings.Contains(found.Detail, "may not snapshot and restore images of pool volumes") || strings.Contains(found.Detail, "see") {
		t.Errorf("with looking alone: %+v", found)
	}
	b.admin(b.mend())
	b.content()

	// One that may nothing is first told what it needs to be answered at all.
	b.admin("ceph auth caps client.poor mgr 'allow r'")
	if found := b.lacking(); !strings.Contains(found.Detail, "may not connect") {
		t.Errorf("with nothing: %+v", found)
	}
	b.admin(b.mend())
	b.admin(b.mend())
	b.content()
}

// content wants the doctor to find nothing wrong.
func (b *bench) content() {
	b.t.Helper()
	for _, check := range b.source().Check(b.t.Context()) {
		if check.Status != source.OK {
			b.t.Errorf("%+v", check)
		}
	}
}

// lacking is what the doctor finds wrong with the client's capabilities.
func (b *bench) lacking() source.Check {
	b.t.Helper()
	for _, check := range b.source().Check(b.t.Context()) {
		if strings.HasSuffix(check.Name, " capabilities") && check.Status == source.Fail {
			return check
		}
	}
	b.t.Fatal("the doctor finds nothing")
	return source.Check{}
}

// mend is the command that it gives for them.
func (b *bench) mend() string {
	b.t.Helper()
	_, command, _ := strings.Cut(b.lacking().Mend, "this replaces all: ")
	return command
}

func TestDoctorIsContent(t *testing.T) {
	newBench(t).content()
}

// TestMapMoves: what changes meanwhile is told, and the maps are those of the dump all the same.
func TestMapMoves(t *testing.T) {
	b := newBench(t)
	b.after("ceph osd unset noout")
	b.on.before = func(n int) {
		if n == 1 {
			b.admin("ceph osd set noout")
		}
	}
	c := b.capture(point.Good)
	if len(c.Notes) != 1 || !strings.Contains(c.Notes[0], fmt.Sprintf("moved from epoch %v to", c.Identity["osdmap_epoch"])) {
		t.Errorf("noted is %q", c.Notes)
	}
	b.checkMaps(c)
}

// TestWithoutTools hides the programs that not every host with the ceph command has.
func TestWithoutTools(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	for _, bin := range []string{"/usr/bin", "/usr/sbin"} {
		programs, err := os.ReadDir(bin)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if p.Name() != "crushtool" && p.Name() != "radosgw-admin" {
				_ = os.Symlink(filepath.Join(bin, p.Name()), filepath.Join(dir, p.Name())) // the first of a name counts
			}
		}
	}
	t.Setenv("PATH", dir)
	c := b.capture(point.ComponentPartial)
	files := c.contents(t)
	if e := files[CrushTextFile]; e.State != Absent || !strings.Contains(e.Reason, "crushtool is not installed") || files[CrushFile].State != Present {
		t.Errorf("the CRUSH map as text is %+v", e)
	}
	if e := files["rgw/zones.json"]; e.State != Failed || !strings.Contains(c.Reason, "radosgw-admin is not installed on local") {
		t.Errorf("the zones are %+v: %s", e, c.Reason)
	}
	for _, check := range b.source().Check(t.Context()) {
		if told := strings.Contains(check.Detail, "crushtool, radosgw-admin"); strings.HasSuffix(check.Name, " tools") && (check.Status != source.Warn || !told) {
			t.Errorf("the doctor says %+v", check)
		}
	}
}

// TestNoCeph: what cannot be asked at all is a failure that says why.
func TestNoCeph(t *testing.T) {
	s := New(Options{Clusters: []Cluster{{Cluster: cephcmd.Cluster{Name: "main", On: host.Local{}, Conf: "/nonexistent/ceph.conf", ID: "holdfast"}}}, Now: time.Now})
	plan, _ := s.Plan(t.Context())
	tree := treetest.NewMemory()
	_, err := s.Capture(t.Context(), plan.Tasks[0], source.Sink{Tree: tree, Read: func(int64) {}})
	if err == nil || !strings.Contains(err.Error(), "cluster main") {
		t.Errorf("with no configuration: %v", err)
	}
	if checks := s.Check(t.Context()); len(checks) != 1 || checks[0].Status != source.Fail {
		t.Errorf("the doctor says %+v", checks)
	}
}

// TestMonitorStops halts the only monitor between two rounds of questions.
func TestMonitorStops(t *testing.T) {
	b := newBench(t)
	signal := func(name string) {
		line := "kill -" + name + " $(cat " + filepath.Dir(b.lab.Ceph.Conf) + "/run/mon.a.pid)"
		if _, err := b.lab.Run(context.Background(), "sto1", "sh", "-c", line); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		signal("CONT")
		b.until("ceph --connect-timeout 5 osd stat")
	})
	b.on.before = func(n int) {
		if n == 1 {
			signal("STOP")
		}
	}
	if _, err := b.tryCapture(); problem.KindOf(err) != problem.Unreachable || !strings.Contains(problem.HintOf(err), "ceph -s") {
		t.Errorf("without monitors: %v (%s)", err, problem.HintOf(err))
	}
}
