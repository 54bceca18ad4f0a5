package ceph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
)

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
