package sqldump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Value is what a row holds in one column: its bytes, or nothing at all.
type Value struct {
	Text string
	Null bool
}

// Rows reads a table's own file, as Split makes it, and hands on what each row holds in the named columns. What each
// receives is its to keep. A file that is not what mariadb-dump writes is an error, and so is a column that the table
// does not have.
func Rows(r io.Reader, columns []string, each func([]Value) error) error {
	t := &tableReader{in: bufio.NewReaderSize(r, 64<<10), wanted: columns, each: each}
	err := t.run()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("read rows at byte %d: %w", t.at, err)
	}
	return nil
}

// TablePath is where Split puts a table that comes once in a dump.
func TablePath(db, table string) string { return encodeDB(db) + "/" + encodeTable(table) + ".sql" }

const maxValue = 64 << 20

// errStop ends the reading before the triggers, which come after all rows and have another syntax.
var errStop = errors.New("the rows are over")

// tableReader reads the statements of one table, of which it understands CREATE TABLE and INSERT.
type tableReader struct {
	in      *bufio.Reader
	at      int64 // bytes read
	seen    byte  // the last of them
	wanted  []string
	columns []string // of the table
	each    func([]Value) error
}

// run passes statements until the file ends between two of them.
func (t *tableReader) run() error {
	for {
		c, err := t.next()
		switch {
		case err == io.EOF:
			return t.ended()
		case err != nil:
			return err
		case c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ';':
		case c == '-' || c == '#':
			err = t.skipLine()
		default:
			t.back()
			err = t.statement()
		}
		if err != nil {
			return err
		}
	}
}

// ended is the end of the file: without the table's definition it is not the file of a table.
func (t *tableReader) ended() error {
	if t.columns == nil {
		return errMalformed("there is no CREATE TABLE")
	}
	return nil
}

func (t *tableReader) statement() error {
	word, err := t.word()
	if err != nil {
		return err
	}
	switch word {
	case "DELIMITER":
		if err := t.ended(); err != nil {
			return err
		}
		return errStop
	case "CREATE":
		return t.create()
	case "INSERT", "REPLACE":
		return t.insert()
	}
	return t.skip(";")
}

// create reads the names of the columns from CREATE TABLE.
func (t *tableReader) create() error {
	if t.columns != nil {
		return errMalformed("the table is made twice")
	}
	if err := t.words("TABLE"); err != nil {
		return err
	}
	named, err := t.atName()
	if err == nil && !named {
		err = t.words("EXISTS", "IF", "NOT")
	}
	if err != nil {
		return err
	}
	if _, err := t.name(); err != nil {
		return err
	}
	if err := t.expect('('); err != nil {
		return err
	}
	for more := true; more; more = t.last() == ',' {
		if err := t.column(); err != nil {
			return err
		}
	}
	if err := t.known(t.wanted); err != nil {
		return err
	}
	return t.skip(";")
}

// atName reports whether a name in backticks comes next.
func (t *tableReader) atName() (bool, error) {
	c, err := t.nextVisible()
	if err != nil {
		return false, err
	}
	t.back()
	return c == '`', nil
}

// column reads one part of a table's definition: a column, or a key.
func (t *tableReader) column() error {
	named, err := t.atName()
	if err != nil {
		return err
	}
	if named {
		name, err := t.name()
		if err != nil {
			return err
		}
		t.columns = append(t.columns, name)
	}
	return t.skip(",)")
}

// known refuses columns that the table does not have.
func (t *tableReader) known(columns []string) error {
	for _, c := range columns {
		if !slices.Contains(t.columns, c) {
			return errMalformed(fmt.Sprintf("the table has no column %q", c))
		}
	}
	return nil
}

// insert reads the rows of one statement.
func (t *tableReader) insert() error {
	if t.columns == nil {
		return errMalformed("rows come before the table's columns")
	}
	into, err := t.into()
	if err != nil {
		return err
	}
	place, err := t.places(into)
	if err != nil {
		return err
	}
	for {
		if err := t.row(place); err != nil {
			return err
		}
		c, err := t.nextVisible()
		switch {
		case err != nil:
			return err
		case c == ';':
			return nil
		case c != ',':
			return errMalformed(fmt.Sprintf("%q follows a row", c))
		}
	}
}

// into reads up to VALUES and returns the columns that the rows have, which is all of them unless they are listed.
func (t *tableReader) into() ([]string, error) {
	if err := t.words("INTO", "IGNORE"); err != nil {
		return nil, err
	}
	if _, err := t.name(); err != nil {
		return nil, err
	}
	listed := t.columns
	c, err := t.nextVisible()
	if err == nil && c == '(' {
		listed, err = t.names()
	} else if err == nil {
		t.back()
	}
	if err != nil {
		return nil, err
	}
	if word, err := t.word(); err != nil || word != "VALUES" {
		return nil, or(err, errMalformed(fmt.Sprintf("%q stands where VALUES should", word)))
	}
	return listed, t.known(listed)
}

// names reads a list of names up to its closing parenthesis.
func (t *tableReader) names() (names []string, err error) {
	for {
		name, err := t.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		switch c, err := t.nextVisible(); {
		case err != nil:
			return nil, err
		case c == ')':
			return names, nil
		case c != ',':
			return nil, errMalformed(fmt.Sprintf("%q follows a column's name", c))
		}
	}
}

// places tells for each value of a row where it stands among the wanted ones, -1 for one that nobody wants. A wanted
// column that the rows leave out, since it is computed, is an error.
func (t *tableReader) places(columns []string) ([]int, error) {
	places := make([]int, len(columns))
	for i, c := range columns {
		places[i] = slices.Index(t.wanted, c)
	}
	for i, w := range t.wanted {
		if !slices.Contains(places, i) {
			return nil, errMalformed(fmt.Sprintf("the rows do not hold column %q", w))
		}
	}
	return places, nil
}

func (t *tableReader) row(places []int) error {
	if err := t.expect('('); err != nil {
		return err
	}
	values := make([]Value, len(t.wanted))
	for i, place := range places {
		v, err := t.value(place >= 0)
		if err != nil {
			return err
		}
		if place >= 0 {
			values[place] = v
		}
		end := byte(',')
		if i == len(places)-1 {
			end = ')'
		}
		if err := t.expect(end); err != nil {
			return err
		}
	}
	return t.each(values)
}

// or is the first error there is.
func or(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// words reads words up to and with the last of them, which may be led by those others that are allowed.
func (t *tableReader) words(last string, allowed ...string) error {
	for {
		word, err := t.word()
		switch {
		case err != nil:
			return err
		case word == last:
			return nil
		case !slices.Contains(allowed, word):
			return errMalformed(fmt.Sprintf("%q stands where %s should", word, strings.Join(append(allowed, last), " or ")))
		}
	}
}
