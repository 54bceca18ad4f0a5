package acceptance

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// TestImagesThereAndBack captures images and clones of a cloud twice, and brings one back.
func TestImagesThereAndBack(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts, labtest.Ceph)
	op := journey.New(t, l)
	op.Run("init", "--yes")
	const some = "*/*[0-3][a-f]" // by the end of their names, of both pools
	first := op.Backup("rbd", "--only", some)
	if first.State != point.Complete {
		t.Fatalf("first point: %+v", first)
	}
	second := op.Backup("rbd", "--only", some)
	for _, c := range second.Components {
		if c.State != point.Skipped && (c.Mode != point.Unchanged || c.State != point.Good) {
			t.Errorf("%s: %s, %s (%s)", c.Name, c.Mode, c.State, c.Reason)
		}
	}
	i := slices.IndexFunc(first.Components, func(c point.Component) bool { return c.State == point.Good && c.Identity["parent"] != nil })
	if i < 0 {
		t.Fatalf("no clone was captured: %+v", first)
	}
	name := first.Components[i].Name
	file := filepath.Join(t.TempDir(), "image.raw")
	op.Run("restore", "image", "latest:rbd", name, "--to", file, "--yes")
	want := filepath.Join(t.TempDir(), "want.raw")
	if _, err := l.Run(t.Context(), "sto1", "rbd", "-c", l.Ceph.Conf, "export", "--no-progress", name, want); err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(file)
	b, errB := os.ReadFile(want)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("%s came back differently: %d and %d bytes, %v, %v", name, len(a), len(b), errA, errB)
	}
}
