package lab_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/lab/openstack"
	"holdfast/internal/problem"
)

func login(t *testing.T, l *lab.Lab) *openstack.Cloud {
	t.Helper()
	cloud, err := l.Cloud(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the services say:", l.OpenStackErrors())
		}
	})
	return cloud
}

func TestNoOpenStack(t *testing.T) {
	if _, err := (&lab.Lab{}).Cloud(t.Context()); problem.KindOf(err) != problem.Usage {
		t.Errorf("a login to a lab without OpenStack: %v", err)
	}
}

// inPool are the names of a pool's images.
func inPool(t *testing.T, l *lab.Lab, pool string) []string {
	t.Helper()
	names, _ := images(t, l, pool)
	return names
}

// TestOpenStack makes and removes things by the services' own means, and has them remove what only rows and pools told
// them of.
func TestOpenStack(t *testing.T) {
	l := labtest.New(t, labtest.OpenStack)
	cloud := login(t, l)
	before := inPool(t, l, "volumes")
	checkMade(t, l, cloud)
	volume := sql(t, l, "ctl1", "SELECT id FROM cinder.volumes WHERE status = 'available' AND NOT deleted AND _name_id IS NULL "+
		"AND id NOT IN (SELECT volume_id FROM cinder.snapshots) AND display_name NOT LIKE 'lab-%' LIMIT 1")
	if err := cloud.Remove(t.Context(), openstack.Volume, volume); err != nil {
		t.Fatal(err)
	}
	gone := slices.DeleteFunc(before, func(n string) bool { return n == "volume-"+volume })
	if diff := cmp.Diff(gone, inPool(t, l, "volumes")); diff != "" {
		t.Errorf("pool volumes (-want +got):\n%s", diff)
	}
	image, err := cloud.Upload(t.Context(), "mine", openstack.Content(1<<20, 7))
	if err != nil || !slices.Contains(inPool(t, l, "images"), image.ID) {
		t.Fatalf("image %+v is not in its pool: %v", image, err)
	}
	if err := cloud.Remove(t.Context(), openstack.Image, image.ID); err != nil || slices.Contains(inPool(t, l, "images"), image.ID) {
		t.Errorf("image %+v is not gone: %v", image, err)
	}
	for _, addr := range listeners(t, l.PortBase) {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("something listens on %s", addr)
		}
	}
}

// checkMade looks at what the services made when the lab came up.
func checkMade(t *testing.T, l *lab.Lab, cloud *openstack.Cloud) {
	t.Helper()
	find := func(k openstack.Kind, name string) openstack.Item {
		all, err := cloud.List(t.Context(), k)
		i := slices.IndexFunc(all, func(i openstack.Item) bool { return i.Name == name })
		if err != nil || i < 0 {
			t.Fatalf("no %s is called %s: %v, %v", k, name, all, err)
		}
		return all[i]
	}
	image, boot, data, snap := find(openstack.Image, "lab-image"), find(openstack.Volume, "lab-boot"), find(openstack.Volume, "lab-data"), find(openstack.Snapshot, "lab-snapshot")
	_, volumes := images(t, l, "volumes")
	clone, snapshot := false, false
	for _, v := range volumes {
		clone = clone || v.Image == "volume-"+boot.ID && v.Snapshot == "" && v.Parent.Image == image.ID
		snapshot = snapshot || v.Image == "volume-"+data.ID && v.Snapshot == "snapshot-"+snap.ID
	}
	if !clone || !snapshot {
		t.Errorf("a clone of the image is in the pool: %v, the snapshot: %v", clone, snapshot)
	}
	if err := cloud.Delete(t.Context(), openstack.Image, image.ID); openstack.Code(err) != http.StatusConflict {
		t.Errorf("deletion of an image with a clone: %v", err)
	}
}

// TestOpenStackEmpty has Cinder take over an image of the pool, and back a volume up.
func TestOpenStackEmpty(t *testing.T) {
	l := labtest.New(t, labtest.OpenStack, labtest.EmptyCeph)
	cloud := login(t, l)
	for _, k := range []openstack.Kind{openstack.Image, openstack.Volume, openstack.Snapshot, openstack.Backup} {
		if all, err := cloud.List(t.Context(), k); err != nil || len(all) > 0 {
			t.Errorf("there are %ss: %v, %v", k, all, err)
		}
	}
	found := &lab.Image{Pool: "volumes", Name: "found", Size: 1 << 30}
	if err := l.MakeImages(t.Context(), found.Do("write", 0, 1<<20, 1)); err != nil {
		t.Fatal(err)
	}
	volume, err := cloud.Manage(t.Context(), l.OpenStack.Pool, "found", "mine now")
	if err != nil || !slices.Equal(inPool(t, l, "volumes"), []string{"volume-" + volume.ID}) {
		t.Fatalf("managed %+v (%v), in the pool are %q", volume, err, inPool(t, l, "volumes"))
	}
	for i, name := range []string{"full", "increment"} {
		if _, err := cloud.BackUp(t.Context(), volume.ID, name, i > 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := inPool(t, l, "backups"); len(got) != 1 || !strings.HasPrefix(got[0], "volume-"+volume.ID+".backup.") {
		t.Errorf("in the pool backups are %q", got)
	}
	if err := cloud.Remove(t.Context(), openstack.Volume, volume.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.Get(t.Context(), openstack.Volume, volume.ID); openstack.Code(err) != http.StatusNotFound {
		t.Errorf("the volume is gone, and Cinder says %v", err)
	}
}
