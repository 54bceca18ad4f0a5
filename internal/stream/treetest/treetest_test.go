package treetest_test

import (
	"path/filepath"
	"testing"

	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

func TestMemory(t *testing.T) {
	treetest.Run(t, func(*testing.T) (stream.Tree, func() map[string]treetest.Entry) {
		m := treetest.NewMemory()
		return m, m.Entries
	})
}

func TestDir(t *testing.T) {
	treetest.Run(t, func(t *testing.T) (stream.Tree, func() map[string]treetest.Entry) {
		d, err := treetest.NewDir(filepath.Join(t.TempDir(), "tree"))
		if err != nil {
			t.Fatal(err)
		}
		return d, func() map[string]treetest.Entry {
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			return entries
		}
	})
}
