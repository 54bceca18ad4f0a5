package mariadb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

func TestCensusFindsTablesWithoutTheirData(t *testing.T) {
	c := newCensus(must[*treetest.Dir](t)(treetest.NewDir(t.TempDir() + "/tree")))
	put := func(name, content string) {
		f := must[stream.File](t)(c.Create(name, stream.Meta{Mode: 0o600}, stream.Plain))
		for i := range len(content) {
			must[int](t)(f.Write([]byte(content[i : i+1])))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const aria, isam, inno = "\xfe\x01\x0a\x2a rest", "\xfe\x01\x0a\x09 rest", "\xfe\x01\x0a\x0c rest"
	for name, content := range map[string]string{
		"d/whole.frm": aria, "d/whole.MAI": "i", "d/whole.MAD": "d",
		"d/half.frm": aria, "d/half.MAI": "i",
		"d/none.frm": isam, "d/inno.frm": inno, "d/view.frm": "TYPE=VIEW", "d/#sql-1.frm": aria,
		"d/old.frm": aria, "d/old.MAI": "i", "d/old.MAD": "d",
		"d/gone.frm": aria,
	} {
		put(name, content)
	}
	for _, end := range []string{".frm", ".MAI", ".MAD"} {
		if err := c.Rename("d/old"+end, "d/new"+end); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Remove("d/gone.frm"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rename("d", "e"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"e/half", "e/none"}, c.bereft()); diff != "" {
		t.Errorf("tables without data (-want +got):\n%s", diff)
	}
}
