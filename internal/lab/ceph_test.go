package lab_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
)

// listed is a line of rbd ls -l.
type listed struct {
	Image    string
	Snapshot string
	Size     int64
	Parent   struct{ Pool, Image, Snapshot string }
	// Protected is "true" or "false", in quotes.
	Protected string
}

// rbd asks a question as the client that backs up.
func rbd(t *testing.T, l *lab.Lab, into any, args ...string) {
	t.Helper()
	c := cephcmd.Cluster{Name: "lab", On: host.Local{}, Conf: l.Ceph.Conf, ID: cephcmd.DefaultID}
	if err := c.JSON(t.Context(), into, "rbd", args...); err != nil {
		t.Fatal(err)
	}
}

// images are the names and sizes of a pool's images, one in a line as the database tells them.
func images(t *testing.T, l *lab.Lab, pool string) (names []string, all []listed) {
	t.Helper()
	rbd(t, l, &all, "ls", "--long", pool)
	for _, i := range all {
		if i.Snapshot == "" {
			names = append(names, i.Image)
		}
	}
	slices.Sort(names)
	return names, all
}

// TestCeph compares what is in the pools with what the databases speak of: beside it, each pool holds one thing that no
// database knows.
func TestCeph(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), labtest.Ceph)
	for _, c := range []struct{ pool, rows string }{
		{"images", "SELECT id FROM glance.images WHERE status = 'active' AND NOT deleted"},
		{"volumes", "SELECT CONCAT('volume-', COALESCE(_name_id, id)) FROM cinder.volumes WHERE NOT deleted"},
		{"vms", "SELECT CONCAT(uuid, '_disk') FROM nova.instances WHERE NOT deleted AND image_ref <> '' AND host IS NOT NULL"},
	} {
		want := strings.Split(sql(t, l, "ctl1", c.rows+" ORDER BY 1"), "\n")
		names, _ := images(t, l, c.pool)
		unknown := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(want, n) })
		known := slices.DeleteFunc(names, func(n string) bool { return slices.Contains(unknown, n) })
		slices.Sort(want)
		if diff := cmp.Diff(want, known); diff != "" {
			t.Errorf("pool %s (-rows +images):\n%s", c.pool, diff)
		}
		if len(unknown) != 1 {
			t.Errorf("pool %s holds %q, which no row knows", c.pool, unknown)
		}
	}
	checkFamilies(t, l)
	for _, addr := range listeners(t, l.PortBase) {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("something listens on %s", addr)
		}
	}
	if answer, err := http.Get(l.Ceph.Endpoint); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the gateway answers %v, %v", answer, err)
	}
}

// checkFamilies looks at snapshots, clones and the trash.
func checkFamilies(t *testing.T, l *lab.Lab) {
	t.Helper()
	names, all := images(t, l, "images")
	protected := 0
	for _, i := range all {
		if i.Snapshot == "snap" && i.Protected == "true" {
			protected++
		}
	}
	if protected != len(names) {
		t.Errorf("%d of %d images have their protected snapshot", protected, len(names))
	}
	_, volumes := images(t, l, "volumes")
	clones, snapshots := 0, 0
	for _, v := range volumes {
		if v.Snapshot != "" {
			snapshots++
		} else if v.Parent.Pool == "images" && v.Parent.Snapshot == "snap" {
			clones++
		}
	}
	if clones == 0 || snapshots == 0 {
		t.Errorf("of the volumes %d are clones, and there are %d snapshots", clones, snapshots)
	}
	var trash []struct{ Name string }
	if rbd(t, l, &trash, "trash", "ls", "volumes"); len(trash) != 1 {
		t.Errorf("in the trash is %v", trash)
	}
}
