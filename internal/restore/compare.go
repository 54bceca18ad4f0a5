package restore

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/stream/sqldump"
)

// compare dumps the loaded table again and holds the number and the hash of its rows against those that were taken
// while the copy was. Where no dump can be taken, and where the server is of another release series and may write the
// same row in another way, the number alone counts, and the outcome says so.
func (t *Table) compare(ctx context.Context) error {
	got, err := t.conn.TableSum(ctx, t.into, t.o.Table, t.r.counter("compare "+t.o.Database+"."+t.o.Table, t.table.Bytes))
	var refused *host.ExitError
	if errors.As(err, &refused) {
		return t.compareNumber(ctx, err.Error())
	}
	if err != nil {
		return err
	}
	want, have := text(t.component.Identity, "server_version"), t.version
	if got.Rows == t.table.Rows && got.Hash != t.table.Hash && series(want) != series(have) {
		t.onlyNumber(got.Rows, fmt.Sprintf("the copy is of server %s, and %s may write the same rows in another way", want, have))
		return nil
	}
	if err := t.same(got); err != nil {
		return err
	}
	t.plan.Outcome = append(t.plan.Outcome, fmt.Sprintf("%d rows, in number and content those of the copy", got.Rows))
	return nil
}

// same is an error that names the table unless its rows are those of the copy.
func (t *Table) same(got sqldump.Table) error {
	if got.Rows == t.table.Rows && got.Hash == t.table.Hash {
		return nil
	}
	how := fmt.Sprintf("%d rows arrived, the copy holds %d", got.Rows, t.table.Rows)
	if got.Rows == t.table.Rows {
		how = fmt.Sprintf("all %d rows arrived, but with hash %v, the copy's have %v", got.Rows, got.Hash, t.table.Hash)
	}
	return problem.New(problem.Damage, fmt.Sprintf("what was loaded stays in %s.%s to be looked at; holdfast verify tells whether the copy is whole, then run the restore again", t.into, t.o.Table),
		"the rows of %s.%s are not those of the copy: %s", t.into, t.o.Table, how)
}

// compareNumber counts the rows, where their content cannot be compared, and says why not.
func (t *Table) compareNumber(ctx context.Context, why string) error {
	n, err := t.number(ctx, "SELECT COUNT(*) FROM "+quoted(t.into, t.o.Table))
	if err != nil {
		return err
	}
	if n != t.table.Rows {
		return t.same(sqldump.Table{Rows: n})
	}
	t.onlyNumber(n, why)
	return nil
}

func (t *Table) onlyNumber(rows int64, why string) {
	t.plan.Outcome = append(t.plan.Outcome, fmt.Sprintf("%d rows, in number those of the copy; their content was not compared: %s", rows, why))
}
