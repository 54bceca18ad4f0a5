package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"strings"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/stream/sqldump"
)

// TableOptions say which table is restored, and where to.
type TableOptions struct {
	Shard    int
	Database string
	Table    string
	Replace  bool // exchange it with the table that is there, else load it into DATABASE_restored
	Nodes    []ClusterNode
	Login    mariadb.Login // may write
	Lineage  Lineage
}

// Table brings one table of the logical copy back into the running cluster.
type Table struct {
	r         *Restorer
	o         TableOptions
	plan      Plan
	component point.Component
	files     fs.FS
	table     sqldump.Table
	node      ClusterNode
	conn      *mariadb.Conn
	version   string // of the node's server
	into      string // database that the rows are loaded into
	kept      string // new name of the table that is replaced
	mark      string // stands in into until the table there is whole
	exists    bool   // the table that would be replaced is there
	triggers  bool   // the copy of the table has some
}

// Table plans the restore of a table.
func (r *Restorer) Table(ctx context.Context, p point.Point, o TableOptions) (*Table, error) {
	c, err := goodCopy(p, fmt.Sprintf("shard%d/logical", o.Shard))
	if err != nil {
		return nil, err
	}
	t := &Table{r: r, o: o, component: c, plan: Plan{Title: "restore table", Point: p.ID}}
	if err := t.find(ctx, p); err != nil {
		return nil, err
	}
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	t.into = o.Database + "_restored"
	if o.Replace {
		t.into = scratchName(o.Database, o.Table, p.ID)
	}
	t.mark = tail(o.Table, "_incomplete")
	if err := t.checkPlace(ctx); err != nil {
		return nil, err
	}
	t.describe()
	return t, nil
}

// suffix makes part of a name of a point's id.
func suffix(id string) string { return strings.ReplaceAll(id, "-", "_") }

// maxName is how many characters the name of a table may have.
const maxName = 64

// tail lengthens the name of a table, which it cuts where it would grow too long.
func tail(table, tail string) string {
	runes := []rune(table)
	return string(runes[:min(len(runes), maxName-len(tail))]) + tail
}

// keptName is the n-th name under which a table that is replaced may stay.
func keptName(table, id string, n int) string {
	end := "_before_" + suffix(id)
	if n > 1 {
		end += fmt.Sprintf("_%d", n)
	}
	return tail(table, end)
}

// scratchName is the database that a table is loaded into before it is exchanged, one for each table and point.
func scratchName(db, table, id string) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s.%s", db, table)
	return fmt.Sprintf("holdfast_restore_%s_%08x", suffix(id), h.Sum32())
}

// find looks the table up in the copy.
func (t *Table) find(ctx context.Context, p point.Point) error {
	fsys, err := t.r.Vault.FS(ctx, p.ID, t.component.Source)
	if err != nil {
		return err
	}
	if t.files, err = fs.Sub(fsys, t.component.Path); err != nil {
		return err
	}
	data, err := fs.ReadFile(t.files, sqldump.OrderPath)
	if err != nil {
		return problem.Wrap(err, "read the list of tables of", p.ID)
	}
	var sum sqldump.Summary
	if err := json.Unmarshal(data, &sum); err != nil {
		return problem.Wrap(err, "read the list of tables of", p.ID)
	}
	for _, have := range sum.Tables {
		if have.DB == t.o.Database && have.Name == t.o.Table {
			t.table = have
			t.triggers, err = hasTriggers(t.files, path.Clean(have.Path))
			return err
		}
	}
	return problem.New(problem.NotFound, "holdfast restore files "+p.ID+" mariadb/"+t.component.Name+" --to DIR writes all there is",
		"the copy holds no table %s.%s", t.o.Database, t.o.Table)
}

// connect finds the first node that takes writes.
func (t *Table) connect(ctx context.Context) error {
	var errs []error
	for _, n := range t.o.Nodes {
		conn, err := mariadb.Connect(ctx, n.Server, t.o.Login)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s, err := conn.Status(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s.Galera && !(s.Synced && s.Primary) {
			errs = append(errs, fmt.Errorf("%s is %s", n.Name, s.State))
			continue
		}
		t.node, t.conn, t.version = n, conn, s.Version
		if want := text(t.component.Identity, "cluster_uuid"); s.Galera && want != "" && !t.o.Lineage.Same(s.ClusterUUID, want) {
			t.plan.refuse(AcceptIdentity, "make sure that the inventory is the one of this cloud", "%s belongs to cluster %s and the copy is of cluster %s", n.Name, s.ClusterUUID, want)
		}
		return nil
	}
	hint := "bring the cluster up first: holdfast restore mariadb POINT --cluster does it from a copy"
	if refusesLogin(errors.Join(errs...)) {
		hint = "correct mariadb.admin in holdfast.yml: the servers refuse the login of " + t.o.Login.User
	}
	return problem.New(problem.Failed, hint, "no node takes writes: %w", errors.Join(errs...))
}

// checkPlace looks at what stands where the table shall go.
func (t *Table) checkPlace(ctx context.Context) error {
	where, err := survey(ctx, t.node, t.plan.Point, "")
	if err != nil {
		return err
	}
	t.plan.needs(t.node.Name+":"+where.datadir, 2*t.table.Bytes, where.free)
	if !t.o.Replace {
		return t.checkBeside(ctx)
	}
	return t.checkReplace(ctx)
}

// checkBeside looks for a table in the way. One that a cut-off restore left, with a mark beside it, is loaded anew.
func (t *Table) checkBeside(ctx context.Context) error {
	taken, err := t.has(ctx, t.into, t.o.Table)
	if err != nil || !taken {
		return err
	}
	unfinished, err := t.has(ctx, t.into, t.mark)
	if err == nil && unfinished {
		t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("drop %s.%s, which an earlier restore left unfinished", t.into, t.o.Table))
		return nil
	}
	t.plan.refuse("", fmt.Sprintf("rename or drop %s.%s first", t.into, t.o.Table), "there is a table %s.%s already", t.into, t.o.Table)
	return err
}

func (t *Table) has(ctx context.Context, db, table string) (bool, error) {
	n, err := t.count(ctx, "TABLES WHERE TABLE_SCHEMA=%s AND TABLE_NAME=%s", db, table)
	return n > 0, err
}

// ties are what keeps a table from being exchanged: a foreign key follows a renamed table, and a trigger cannot leave
// its database.
var ties = []struct{ what, from string }{
	{"a foreign key", "KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND (TABLE_SCHEMA=%[1]s AND TABLE_NAME=%[2]s OR REFERENCED_TABLE_SCHEMA=%[1]s AND REFERENCED_TABLE_NAME=%[2]s)"},
	{"a trigger", "TRIGGERS WHERE EVENT_OBJECT_SCHEMA=%s AND EVENT_OBJECT_TABLE=%s"},
}

// tied names what ties a table, "" when nothing does.
func (t *Table) tied(ctx context.Context, db, table string) (string, error) {
	for _, tie := range ties {
		n, err := t.count(ctx, tie.from, db, table)
		if err != nil || n > 0 {
			return tie.what, err
		}
	}
	return "", nil
}

const untie = "restore it without --replace and move the rows with SQL"

// checkReplace refuses to exchange a table that is tied to others, and finds a free name for it.
func (t *Table) checkReplace(ctx context.Context) error {
	tie, err := t.tied(ctx, t.o.Database, t.o.Table)
	if err != nil {
		return err
	}
	if tie == "" && t.triggers {
		tie = "a trigger in the copy"
	}
	if tie != "" {
		t.plan.refuse("", untie, "%s.%s has %s, so it cannot be exchanged", t.o.Database, t.o.Table, tie)
	}
	if t.exists, err = t.has(ctx, t.o.Database, t.o.Table); err != nil {
		return err
	}
	for n, taken := 1, true; taken; n++ {
		t.kept = keptName(t.o.Table, t.plan.Point, n)
		if taken, err = t.has(ctx, t.o.Database, t.kept); err != nil {
			return err
		}
	}
	return nil
}

// count counts rows of a table of information_schema.
func (t *Table) count(ctx context.Context, from string, args ...string) (int64, error) {
	var literals []any
	for _, a := range args {
		literals = append(literals, literal(a))
	}
	return t.number(ctx, "SELECT COUNT(*) FROM information_schema."+fmt.Sprintf(from, literals...))
}

func (t *Table) number(ctx context.Context, sql string) (n int64, err error) {
	rows, err := t.conn.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return 0, fmt.Errorf("query %s: %d rows came back, want one", t.node.Name, len(rows))
	}
	_, err = fmt.Sscan(rows[0][0], &n)
	return n, err
}

// literal makes text an SQL string that no SQL mode reads differently.
func literal(text string) string { return fmt.Sprintf("CONVERT(0x%x USING utf8mb4)", text) }

func (t *Table) describe() {
	target := t.into + "." + t.o.Table
	t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("load %d rows (%s), as of %s, into %s through %s, a statement a transaction",
		t.table.Rows, size(t.table.Bytes), t.component.At.Format("2006-01-02 15:04:05 MST"), target, t.node.Name),
		"compare every row with the copy")
	if t.triggers {
		t.plan.Notes = append(t.plan.Notes, "its triggers are left out, as they could write to other tables; they stand at the end of mariadb/"+t.component.Name+"/"+path.Clean(t.table.Path))
	}
	if !t.o.Replace {
		t.plan.Undo = []string{"DROP TABLE " + quoted(t.into, t.o.Table)}
		return
	}
	if t.exists {
		t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("in one step rename %s.%s to %s and put the restored table in its place", t.o.Database, t.o.Table, t.kept))
		t.plan.Notes = append(t.plan.Notes, "what was written to the table since the point stays in "+t.o.Database+"."+t.kept)
		t.plan.Keeps = true
		t.plan.Undo = []string{fmt.Sprintf("RENAME TABLE %s TO %s, %s TO %s", quoted(t.o.Database, t.o.Table), quoted(t.o.Database, t.o.Table+"_restored"),
			quoted(t.o.Database, t.kept), quoted(t.o.Database, t.o.Table))}
		return
	}
	t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("move it to %s.%s, where no table is now", t.o.Database, t.o.Table))
	t.plan.Undo = []string{"DROP TABLE " + quoted(t.o.Database, t.o.Table)}
}

func quoted(db, table string) string { return mariadb.Quote(db) + "." + mariadb.Quote(table) }

// Plan returns what would be done.
func (t *Table) Plan() *Plan { return &t.plan }

// Execute loads the table and, with Replace, exchanges it. A failure leaves the table that was there as it was.
func (t *Table) Execute(ctx context.Context) error {
	name := t.o.Database + "." + t.o.Table
	if err := t.begin(ctx); err != nil {
		return problem.Wrap(err, "restore table", name)
	}
	if err := t.r.step("load "+name, func() error { return t.load(ctx) }); err != nil {
		return problem.Wrap(err, "restore table", name)
	}
	if err := t.r.step("compare "+name, func() error { return t.compare(ctx) }); err != nil {
		return problem.Wrap(err, "restore table", name)
	}
	if !t.o.Replace {
		return t.query(ctx, "DROP TABLE "+quoted(t.into, t.mark))
	}
	return t.r.step("exchange "+name, func() error { return t.exchange(ctx) })
}

// begin makes the place to load into. Until the load is done a marked table stands beside the one that is loaded, so
// that one which was cut off is not taken for restored, whoever looks.
func (t *Table) begin(ctx context.Context) error {
	clear := "DROP TABLE IF EXISTS " + quoted(t.into, t.o.Table)
	if t.o.Replace {
		clear = fmt.Sprintf("DROP DATABASE %[1]s; CREATE DATABASE %[1]s", mariadb.Quote(t.into))
	}
	return t.query(ctx, fmt.Sprintf("CREATE DATABASE IF NOT EXISTS %s; CREATE TABLE IF NOT EXISTS %s (unfinished INT PRIMARY KEY) COMMENT 'the table beside is not restored yet'; %s",
		mariadb.Quote(t.into), quoted(t.into, t.mark), clear))
}

func (t *Table) query(ctx context.Context, sql string) error {
	_, err := t.conn.Query(ctx, sql)
	return err
}

// load feeds the session's settings and the table's own file to the client.
func (t *Table) load(ctx context.Context) error {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(t.write(pw)) }()
	err := t.conn.Load(ctx, t.into, pr)
	pr.CloseWithError(errors.New("the client ended"))
	return err
}

func (t *Table) write(w io.Writer) error {
	count := t.r.counter("load "+t.o.Database+"."+t.o.Table, t.table.Bytes)
	for _, name := range []string{sqldump.HeaderPath, path.Clean(t.table.Path), sqldump.FooterPath} {
		f, err := t.files.Open(name)
		if err != nil {
			return err
		}
		err = plainStatements(w, f, count)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange swaps the tables in one statement.
func (t *Table) exchange(ctx context.Context) error {
	tie, err := t.tied(ctx, t.into, t.o.Table)
	if err != nil {
		return err
	}
	if tie != "" {
		return problem.New(problem.Failed, untie+"; drop the database "+t.into, "the table of the copy has %s, so it cannot take its place", tie)
	}
	var swap string
	if t.exists {
		swap = fmt.Sprintf("%s TO %s, ", quoted(t.o.Database, t.o.Table), quoted(t.o.Database, t.kept))
	}
	return t.query(ctx, fmt.Sprintf("CREATE DATABASE IF NOT EXISTS %s; RENAME TABLE %s%s TO %s; DROP DATABASE %s",
		mariadb.Quote(t.o.Database), swap, quoted(t.into, t.o.Table), quoted(t.o.Database, t.o.Table), mariadb.Quote(t.into)))
}
