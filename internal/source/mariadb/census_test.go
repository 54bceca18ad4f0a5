package mariadb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/stream"
	"holdfast/internal/stream/treetest"
)

// frm is the head of a table's definition.
func frm(engine, ofPartitions byte) string {
	head := make([]byte, 80)
	head[0], head[1], head[2], head[3], head[61] = 0xfe, 1, 10, engine, ofPartitions
	return string(head)
}

// par is the list of a table's partitions.
func par(names ...string) string {
	list := append(make([]byte, 8), byte(len(names)), 0, 0, 0)
	list = append(list, make([]byte, (len(names)+3)/4*4+4)...)
	return string(list) + strings.Join(names, "\x00") + "\x00"
}

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
	aria, isam, inno := frm(codeAria, 0), frm(codeMyISAM, 0), frm(12, 0)
	parted := frm(codePartitioned, codeAria)
	for name, content := range map[string]string{
		"d/whole.frm": aria, "d/whole.MAI": "i", "d/whole.MAD": "d",
		"d/half.frm": aria, "d/half.MAI": "i",
		"d/none.frm": isam, "d/inno.frm": inno, "d/view.frm": "TYPE=VIEW", "d/#sql-1.frm": aria,
		"d/old.frm": aria, "d/old.MAI": "i", "d/old.MAD": "d",
		"d/gone.frm":  aria,
		"d/parts.frm": parted, "d/parts.par": par("p0", "p1"),
		"d/parts#P#p0.MAI": "i", "d/parts#P#p0.MAD": "d", "d/parts#P#p1.MAI": "i", "d/parts#P#p1.MAD": "d",
		"d/part.frm": parted, "d/part.par": par("p0", "p1#SP#s0"), "d/part#P#p0.MAI": "i", "d/part#P#p0.MAD": "d",
		"d/part#P#p1#SP#s0.MAI": "i",
		"d/list.frm":            parted, "d/list#P#p0.MAI": "i", "d/list#P#p0.MAD": "d",
		"d/cut.frm": parted, "d/cut.par": par("p0", "p1")[:20], "d/cut#P#p0.MAI": "i", "d/cut#P#p0.MAD": "d",
		"d/innoparts.frm": frm(codePartitioned, 12),
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
	if diff := cmp.Diff([]string{"e/cut", "e/half", "e/list", "e/none", "e/part"}, c.bereft()); diff != "" {
		t.Errorf("tables without data (-want +got):\n%s", diff)
	}
}
