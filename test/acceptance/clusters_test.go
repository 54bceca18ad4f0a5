package acceptance

import (
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// TestTwoClusters captures pools of two clusters, which here are one that is known by two names, and restores an image of the second.
func TestTwoClusters(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	i := &images{journey.At(t, journey.NewSite(t, l, func(config string) string {
		here := "conf: " + l.Ceph.Conf + "\n"
		config = strings.Replace(config, "  - "+here, "  - name: near\n    "+here+"  - name: far\n    "+here, 1)
		pools := "  pools: [volumes, {name: backups, cluster: far}]\n  include: [{name: volume-near}, {name: volume-far}]"
		return strings.Replace(config, "  pools: [volumes, images]", pools, 1)
	})), t, l}
	i.Init()
	i.make((&lab.Image{Pool: "volumes", Name: "volume-near", Size: 16 * mebi}).Do("write", 0, 4*mebi, 1))
	i.make((&lab.Image{Pool: "backups", Name: "volume-far", Size: 16 * mebi}).Do("write", 0, 4*mebi, 2))
	const near, far = "volumes/volume-near", "far:backups/volume-far"
	first := i.Backup("rbd")
	if len(first.Components) != 2 {
		t.Errorf("%d components: %+v", len(first.Components), first.Components)
	}
	was := i.sum("backups/volume-far")
	if err := l.ChangeImages(t.Context(), (&lab.Image{Pool: "backups", Name: "volume-far"}).Do("write", 8*mebi, mebi, 3)); err != nil {
		t.Fatal(err)
	}
	second := i.Backup("rbd")
	for name, want := range map[string]point.Mode{near: point.Unchanged, far: point.Incremental} {
		if c, _ := second.Component("rbd", name); c.Mode != want || c.State != point.Good {
			t.Errorf("%s is %s, %s (%s)", name, c.State, c.Mode, c.Reason)
		}
	}
	if got := i.sumIn(second, far); got != i.sum("backups/volume-far") {
		t.Error("the file that the second point gives differs")
	}
	i.Run("restore", "image", first.ID, far, "--as", "backups/volume-again", "--yes")
	if i.sum("backups/volume-again") != was {
		t.Error("the image that the first point gives differs")
	}
	if out := i.Run("snapshots"); !strings.Contains(out, far) || !strings.Contains(out, near) {
		t.Errorf("snapshots says:\n%s", out)
	}
}
