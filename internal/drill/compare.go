package drill

import (
	"fmt"
	"slices"

	"holdfast/internal/stream/sqldump"
)

// judge says whether a table that differs from the dump is known to be unwritten between dump and copy.
type judge func(db, table string) (unwritten bool)

func always(string, string) bool { return true }

// anew are tables in which a dump that is loaded writes when it made what they hold. Their rows are counted, and what they
// define is compared as definitions.
var anew = []string{"mysql.proc", "mysql.event"}

// compareTables holds the number and the content of the rows of each table against those of the dump.
func (p *part) compareTables(want, got []sqldump.Table, unwritten judge) {
	have := map[string]sqldump.Table{}
	for _, t := range got {
		have[t.DB+"."+t.Name] = t
	}
	for _, w := range want {
		name := w.DB + "." + w.Name
		g, ok := have[name]
		delete(have, name)
		switch {
		case !ok:
			p.finds("table", name, "the dump holds it with %d rows, and it is missing here", w.Rows)
		case g.Rows == w.Rows && (g.Hash == w.Hash || p.name == "logical" && slices.Contains(anew, name)):
			p.result.Same++
		case !unwritten(w.DB, w.Name):
			p.result.NotComparable = append(p.result.NotComparable, name)
		default:
			p.finds("table", name, "%s", rowsDiffer(g, w))
		}
	}
	for name := range have {
		p.finds("table", name, "it is here and not in the dump")
	}
	slices.Sort(p.result.NotComparable)
}

func rowsDiffer(got, want sqldump.Table) string {
	if got.Rows != want.Rows {
		return fmt.Sprintf("it has %d rows, the dump holds %d", got.Rows, want.Rows)
	}
	return fmt.Sprintf("it has %d rows as in the dump, but not the same: their hash is %v, that of the dump's %v", got.Rows, got.Hash, want.Hash)
}
