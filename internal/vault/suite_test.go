package vault

import (
	"io/fs"
	"testing"

	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

// TestTreeConforms runs the suite of stream.Tree and reads every tree back from a sealed point.
func TestTreeConforms(t *testing.T) {
	v := newVault(t)
	treetest.Run(t, func(t *testing.T) (stream.Tree, func() map[string]treetest.Entry) {
		s := begin(t, v, t.Name(), "mariadb")
		tree := s.Tree("a/b")
		if err := tree.SetMeta(meta(0o750)); err != nil {
			t.Fatal(err)
		}
		return tree, func() map[string]treetest.Entry {
			seal(t, s)
			sealPoint(t, v, t.Name(), good("mariadb", "a/b"))
			fsys, err := v.FS(t.Context(), t.Name(), "mariadb")
			if err != nil {
				t.Fatal(err)
			}
			return entries(t, fsys, "a/b")
		}
	})
}

func entries(t *testing.T, fsys *FS, root string) map[string]treetest.Entry {
	found := map[string]treetest.Entry{}
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		e := treetest.Entry{Meta: fi.Sys().(stream.Meta)}
		e.Meta.Mode = fi.Mode()
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			e.Target, err = fsys.ReadLink(name)
		case !d.IsDir():
			e.Data, err = fsys.ReadFile(name)
		}
		found[name[len(root)+1:]] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
