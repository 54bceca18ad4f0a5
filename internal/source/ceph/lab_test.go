package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// recorder is this machine, and remembers what is run on it.
type recorder struct {
	host.Local
	before func(n int) // the n-th command, from 0

	mu   sync.Mutex
	args []string
}

func (r *recorder) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	r.mu.Lock()
	n := len(r.args)
	r.args = append(r.args, strings.Join(append(c.Args, c.Env...), "\x00"))
	r.mu.Unlock()
	if r.before != nil {
		r.before(n)
	}
	return r.Local.Start(ctx, c)
}

// bench is a cluster with a source that captures it.
type bench struct {
	t    *testing.T
	lab  *lab.Lab
	on   *recorder
	id   string
	pool []string
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, lab: labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph), on: &recorder{}, id: "holdfast", pool: []string{"volumes", "images", "vms", "backups"}}
}

func (b *bench) source() *Source {
	c := cephcmd.Cluster{Name: "main", On: b.on, Conf: b.lab.Ceph.Conf, ID: b.id}
	return New(Options{Clusters: []Cluster{{Cluster: c, Pools: b.pool}}, Now: time.Now})
}

// admin runs a command line as the cluster's administrator, in a directory of its own unless one is given.
func (b *bench) admin(line string) string {
	b.t.Helper()
	return b.in("", line)
}

func (b *bench) in(dir, line string) string {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "sh", "-ec", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf, "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s%s", line, err, out, &stderr)
	}
	return string(out)
}

// after runs a command line when the test ends.
func (b *bench) after(line string) {
	b.t.Cleanup(func() {
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Errorf("%s: %v\n%s", line, err, out)
		}
	})
}

// captured is what a capture brought.
type captured struct {
	source.Outcome
	files map[string]treetest.Entry
}

func (b *bench) tryCapture() (captured, error) {
	b.t.Helper()
	s := b.source()
	plan, err := s.Plan(b.t.Context())
	if err != nil || len(plan.Tasks) != 1 || plan.Tasks[0].Path != "ceph/main" || plan.Tasks[0].Kind != point.Metadata {
		b.t.Fatalf("plan %+v, %v", plan, err)
	}
	tree := treetest.NewMemory()
	o, err := s.Capture(b.t.Context(), plan.Tasks[0], source.Sink{Tree: tree, Read: func(int64) {}, Note: func(string) {}})
	if tree.Open() != 0 {
		b.t.Errorf("%d files are still open", tree.Open())
	}
	return captured{o, tree.Entries()}, err
}

func (b *bench) capture(want point.ComponentState) captured {
	b.t.Helper()
	c, err := b.tryCapture()
	if err != nil {
		b.t.Fatal(err)
	}
	if c.State != want {
		b.t.Fatalf("the capture is %s: %s", c.State, c.Reason)
	}
	return c
}

func (c captured) contents(t *testing.T) map[string]Entry {
	t.Helper()
	list, err := ParseContents(c.files[ContentsName].Data)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]Entry{}
	for _, e := range list.Files {
		if _, twice := files[e.File]; twice {
			t.Errorf("%s is listed twice", e.File)
		}
		files[e.File] = e
	}
	return files
}

// into writes the files into a directory.
func (c captured) into(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, e := range c.files {
		if e.Meta.Mode.IsRegular() {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, e.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// furnish gives the cluster something of everything.
func (b *bench) furnish() {
	b.admin(`
printf 'text\n' | ceph config-key set deep -i -
printf '\000\001\377\n\n' | ceph config-key set deep/er -i -
printf '"<<< binary blob of length 3 >>>' | ceph config-key set "an odd key's name" -i -
ceph config set osd/class:hdd osd_max_backfills 7
ceph config set client.holdfast rbd_default_map_options 'a#b;c "d" \e'
ceph osd erasure-code-profile set wide k=2 m=1 crush-failure-domain=osd
ceph osd pool create coded 4 4 erasure wide
ceph osd pool set coded allow_ec_overwrites true
ceph osd pool set-quota coded max_objects 1000
ceph osd pool application enable coded other
rbd create images/base --size 8M
rbd snap create --no-progress images/base@snap
rbd snap protect images/base@snap
rbd clone images/base@snap volumes/child
rbd image-meta set volumes/child hw_disk_bus 'virtio é'
rbd snap create --no-progress volumes/child@kept
rbd create images/gone --size 8M
rbd snap create --no-progress images/gone@s
rbd clone --rbd-default-clone-format 2 images/gone@s volumes/orphan
rbd snap rm --no-progress images/gone@s
rbd create volumes/binned --size 8M
rbd trash mv volumes/binned
rbd namespace create volumes/tenant
rbd create volumes/tenant/inner --size 4M
rbd group create volumes/set
rbd create volumes/coded --size 8M --data-pool coded
rbd group image add volumes/set volumes/coded
rbd group snap create volumes/set@first`)
	b.after(`
for k in deep deep/er "an odd key's name"; do ceph config-key rm "$k"; done
ceph config rm osd/class:hdd osd_max_backfills
ceph config rm client.holdfast rbd_default_map_options
rbd group rm volumes/set; rbd rm --no-progress volumes/coded
rbd rm --no-progress volumes/tenant/inner; rbd namespace rm volumes/tenant
rbd trash purge --no-progress volumes
rbd snap purge --no-progress volumes/child; rbd rm --no-progress volumes/child
rbd rm --no-progress volumes/orphan; rbd rm --no-progress images/gone
rbd snap unprotect images/base@snap; rbd snap purge --no-progress images/base; rbd rm --no-progress images/base
ceph osd pool rm coded coded --yes-i-really-really-mean-it
ceph osd erasure-code-profile rm wide; ceph osd crush rule rm coded`)
}

func TestCapture(t *testing.T) {
	b := newBench(t)
	b.furnish()
	c := b.capture(point.Good)
	files := c.contents(t)
	json_ := 0
	for name, e := range c.files {
		if e.Meta.Mode.IsDir() {
			continue
		}
		if e.Meta.Mode.Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, e.Meta.Mode)
		}
		if strings.HasSuffix(name, ".json") {
			if json_++; !json.Valid(e.Data) {
				t.Errorf("%s is no JSON", name)
			}
		}
		_, listed := files[name]
		if !listed && name != ContentsName && name != PlanName && !strings.HasPrefix(name, "config-key/values/") {
			t.Errorf("%s is not listed", name)
		}
	}
	for name, e := range files {
		entry, there := c.files[name]
		if name == valuesEntry.File {
			continue // a directory
		}
		if (e.State == Present) != there || there && e.Size != len(entry.Data) || e.For == "" || e.Command == "" {
			t.Errorf("listed is %+v, there: %t", e, there)
		}
		if e.State != Present && e.State != Absent {
			t.Errorf("%s is %s: %s", name, e.State, e.Reason)
		}
	}
	if e := files["orchestrator/services.yaml"]; e.State != Absent || !strings.Contains(e.Reason, "No orchestrator") {
		t.Errorf("the orchestrator is %+v", e)
	}
	b.checkIdentity(c)
	b.checkKeys(c)
	b.checkMaps(c)
	b.checkSecrets(c)
	if got := strings.Fields(string(c.files["rgw/users/default.json"].Data)); !cmp.Equal(got, []string{"[", `"holdfast"`, "]"}) {
		t.Errorf("users of the gateway are %q", got)
	}
}

func (b *bench) checkIdentity(c captured) {
	if c.Identity["fsid"] != b.lab.Ceph.FSID || c.Identity["monmap_epoch"] != int64(1) || len(c.Identity["versions"].(map[string]int)) == 0 {
		b.t.Errorf("identity %+v", c.Identity)
	}
	if c.Proof["crush_decompiles"] != true || c.Proof["json_files"].(int) < 30 || c.Proof["images"] != 6 || c.Proof["osdmap_epoch_after"] == nil {
		b.t.Errorf("proof %+v", c.Proof)
	}
}

// checkKeys compares each config-key with what it was set to, and the keyring with the cluster's.
func (b *bench) checkKeys(c captured) {
	t := b.t
	var keys []kept
	if err := json.Unmarshal(c.files[keysFile].Data, &keys); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, k := range keys {
		got[k.Key] = string(c.files["config-key/"+k.File].Data)
	}
	want := map[string]string{"deep": "text\n", "deep/er": "\x00\x01\xff\n\n", "an odd key's name": `"<<< binary blob of length 3 >>>`}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("config-key %q is %q", k, got[k])
		}
	}
	if want := b.admin("ceph auth export"); string(c.files[KeyringFile].Data) != want {
		t.Error("the keyring is not the cluster's")
	}
	if e := c.files["auth/clients.keyring"].Data; bytes.Contains(e, []byte("[client.admin]")) || bytes.Contains(e, []byte("[osd.")) || !bytes.Contains(e, []byte("[client.holdfast]\n\tkey")) {
		t.Error("the keyring of the clients is not theirs")
	}
}

// checkMaps reads the binary maps with Ceph's own tools.
func (b *bench) checkMaps(c captured) {
	dir := c.into(b.t)
	epoch := fmt.Sprintf("epoch %v\n", c.Identity["osdmap_epoch"])
	if out := b.in(dir, "osdmaptool --print osd/osdmap 2>/dev/null"); !strings.Contains(out, epoch) || !strings.Contains(out, b.lab.Ceph.FSID) {
		b.t.Errorf("the OSD map is not of %s: %s", epoch, out)
	}
	if out := b.in(dir, "monmaptool --print mon/monmap"); !strings.Contains(out, b.lab.Ceph.FSID) {
		b.t.Errorf("the monitors' map is %s", out)
	}
	b.in(dir, "crushtool -c crush/crushmap.txt -o again")
}

// checkSecrets looks for keys where others can see them.
func (b *bench) checkSecrets(c captured) {
	seen, _ := json.Marshal(c.Outcome)
	seen = append(seen, c.files[ContentsName].Data...)
	seen = append(seen, c.files[PlanName].Data...)
	seen = append(seen, strings.Join(b.on.args, "\n")...)
	secrets := 0
	for line := range strings.Lines(string(c.files[KeyringFile].Data)) {
		if key, ok := strings.CutPrefix(strings.TrimSpace(line), "key = "); ok {
			if secrets++; bytes.Contains(seen, []byte(key)) {
				b.t.Error("a key is in plain sight")
			}
		}
	}
	if secrets < 6 {
		b.t.Errorf("there are only %d keys", secrets)
	}
}

// imageFacts is what is written of an image.
type imageFacts struct {
	Name, ID  string
	Size      int64
	Features  []string
	Metadata  map[string]string
	Parent    *struct{ Pool, Image, Snapshot string }
	Children  []struct{ Pool, Image string }
	Snapshots []struct {
		ID        int64
		Name      string
		Namespace string
	}
}

func imagesIn(t *testing.T, c captured, file string) map[string]imageFacts {
	t.Helper()
	var list []imageFacts
	if err := json.Unmarshal(c.files[file].Data, &list); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	all := map[string]imageFacts{}
	for _, i := range list {
		all[i.Name] = i
	}
	return all
}

func TestImages(t *testing.T) {
	b := newBench(t)
	b.furnish()
	c := b.capture(point.Good)
	volumes, images := imagesIn(t, c, "pools/volumes/images.json"), imagesIn(t, c, "pools/images/images.json")
	for spec, i := range map[string]imageFacts{"volumes/child": volumes["child"], "images/base": images["base"], "volumes/coded": volumes["coded"]} {
		var info struct {
			ID       string
			Size     int64
			Features []string
		}
		if err := json.Unmarshal([]byte(b.admin("rbd info --format json "+spec)), &info); err != nil {
			t.Fatal(err)
		}
		if info.ID != i.ID || info.Size != i.Size || !cmp.Equal(info.Features, i.Features) {
			t.Errorf("%s is %+v, rbd says %+v", spec, i, info)
		}
	}
	child := volumes["child"]
	if child.Metadata["hw_disk_bus"] != "virtio é" || child.Parent == nil || child.Parent.Image != "base" || child.Parent.Snapshot != "snap" || len(child.Snapshots) != 1 {
		t.Errorf("the clone is %+v", child)
	}
	if base := images["base"]; len(base.Children) != 1 || base.Children[0].Pool != "volumes" || base.Children[0].Image != "child" {
		t.Errorf("the parent is %+v", base)
	}
	if gone := images["gone"]; len(gone.Snapshots) != 1 || gone.Snapshots[0].Namespace != "trash" || len(gone.Children) != 1 {
		t.Errorf("the parent whose snapshot was removed is %+v", gone)
	}
	if s := volumes["coded"].Snapshots; len(s) != 1 || s[0].Namespace != "group" {
		t.Errorf("the snapshot of the group is %+v", s)
	}
	if inner := imagesIn(t, c, "pools/volumes/namespaces/tenant/images.json"); len(inner) != 1 || inner["inner"].Size != 4<<20 {
		t.Errorf("the namespace holds %+v", inner)
	}
	var p poolFacts
	if err := json.Unmarshal(c.files["pools/volumes/pool.json"].Data, &p); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(p.Namespaces, []string{"tenant"}) || !cmp.Equal(p.Contents[0].Groups, []string{"set"}) || !bytes.Contains(p.Contents[0].Trash, []byte(`"binned"`)) {
		t.Errorf("the pool is %+v", p)
	}
}

// TestTakesBack loses things and types what the plan says.
func TestTakesBack(t *testing.T) {
	b := newBench(t)
	b.furnish()
	before := b.capture(point.Good)
	dir := before.into(t)
	b.admin(`
for k in deep deep/er "an odd key's name"; do ceph config-key rm "$k"; done
ceph config rm osd/class:hdd osd_max_backfills
ceph config rm client.holdfast rbd_default_map_options
rbd group rm volumes/set; rbd rm --no-progress volumes/coded
ceph osd pool rm coded coded --yes-i-really-really-mean-it
ceph osd erasure-code-profile rm wide
ceph auth caps client.holdfast mon 'allow r'`)
	b.in(dir, `
sh config-key/set.sh
ceph config assimilate-conf -i config/options.conf
sh pools/create.sh
ceph auth import -i auth/clients.keyring
rbd create volumes/coded --size 8M --data-pool coded; rbd group create volumes/set`)
	after := b.capture(point.Good)
	for _, name := range []string{"config-key/set.sh", "config-key/values/deep%2Fer", optionsFile, "pools/create.sh", "pools/erasure-code-profiles.json", KeyringFile} {
		if diff := cmp.Diff(string(before.files[name].Data), string(after.files[name].Data)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
}

func TestOrchestrator(t *testing.T) {
	b := newBench(t)
	b.admin("ceph mgr module enable test_orchestrator")
	b.after("ceph orch set backend ''; ceph mgr module disable test_orchestrator")
	b.until("ceph orch set backend test_orchestrator && ceph orch ls --export")
	c := b.capture(point.Good)
	files := c.contents(t)
	for _, name := range []string{"orchestrator/services.yaml", "orchestrator/hosts.json"} {
		if files[name].State != Present || files[name].Size == 0 {
			t.Errorf("%s is %+v", name, files[name])
		}
	}
	if !bytes.Contains(c.files[PlanName].Data, []byte("ceph orch apply -i orchestrator/services.yaml`.")) {
		t.Error("the plan does not speak of the orchestrator")
	}
}

// until repeats a command line until it succeeds: managers start again when a module is enabled.
func (b *bench) until(line string) {
	b.t.Helper()
	end := time.Now().Add(90 * time.Second)
	for {
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: %v\n%s", line, err, out)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

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
	for _, check := range b.source().Check(t.Context()) {
		if check.Status != source.OK {
			t.Errorf("after the mend: %+v", check)
		}
	}
}

// mend is the command that the doctor gives for the capabilities.
func (b *bench) mend() string {
	for _, check := range b.source().Check(b.t.Context()) {
		if strings.HasSuffix(check.Name, " capabilities") && check.Status == source.Fail {
			_, command, _ := strings.Cut(check.Mend, "this replaces all: ")
			return command
		}
	}
	b.t.Fatal("the doctor finds nothing")
	return ""
}

func TestDoctorIsContent(t *testing.T) {
	b := newBench(t)
	for _, check := range b.source().Check(t.Context()) {
		if check.Status != source.OK {
			t.Errorf("%+v", check)
		}
	}
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
