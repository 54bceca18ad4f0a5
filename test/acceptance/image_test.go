package acceptance

import (
	"path/filepath"
	"syscall"
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
	name := smallestClone(t, first)
	file := filepath.Join(t.TempDir(), "image.raw")
	op.Run("restore", "image", "latest:rbd", name, "--to", file, "--yes")
	want := filepath.Join(t.TempDir(), "want.raw")
	if _, err := l.Rbd(t.Context(), "export", "--no-progress", name, want); err != nil {
		t.Fatal(err)
	}
	if sumOfFile(t, file) != sumOfFile(t, want) {
		t.Errorf("%s came back differently", name)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil || st.Blocks*512 > st.Size/4 {
		t.Errorf("a file of %d bytes with few of data takes %d: %v", st.Size, st.Blocks*512, err)
	}
}

// smallestClone is the captured clone that is read back in the least time.
func smallestClone(t *testing.T, p point.Point) (name string) {
	t.Helper()
	var least float64
	for _, c := range p.Components {
		size, _ := c.Identity["size"].(float64)
		if c.State == point.Good && c.Identity["parent"] != nil && (name == "" || size < least) {
			name, least = c.Name, size
		}
	}
	if name == "" {
		t.Fatalf("no clone was captured: %+v", p)
	}
	return name
}
