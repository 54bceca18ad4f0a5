package schema

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// batch is how many bytes of rows go into one INSERT statement; far below any server's max_allowed_packet.
const batch = 128 << 10

// script writes SQL. The first error sticks and silences everything after it.
type script struct {
	w     *bufio.Writer
	err   error
	rows  map[string]int
	table string // DATABASE.TABLE that rows go into
	head  string // its INSERT ... VALUES
	size  int    // bytes in the open statement, 0 when there is none
}

func newScript(w io.Writer) *script {
	return &script{w: bufio.NewWriterSize(w, 64<<10), rows: map[string]int{}}
}

// text writes SQL as it stands.
func (s *script) text(sql string) {
	s.close()
	s.write(sql)
}

// copy writes all of r.
func (s *script) copy(r io.Reader) {
	s.close()
	if s.err == nil {
		_, s.err = io.Copy(s.w, r)
	}
}

// into names the table and the columns of the rows that follow.
func (s *script) into(table string, columns ...string) {
	s.close()
	db, name, _ := strings.Cut(table, ".")
	s.table = table
	s.head = fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES\n", quoteName(db), quoteName(name), quoteNames(columns))
}

// row writes one row: a value for each column named by into.
func (s *script) row(values ...any) {
	if s.size == 0 {
		s.write(s.head)
	} else {
		s.write(",\n")
	}
	literals := make([]string, len(values))
	for i, v := range values {
		literals[i] = literal(v)
	}
	line := "(" + strings.Join(literals, ",") + ")"
	s.write(line)
	s.rows[s.table]++
	if s.size += len(line); s.size > batch {
		s.close()
	}
}

// close ends the open statement, if there is one.
func (s *script) close() {
	if s.size > 0 {
		s.write(";\n")
		s.size = 0
	}
}

// finish writes what is buffered and returns the first error.
func (s *script) finish() error {
	s.close()
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}

func (s *script) write(text string) {
	if s.err == nil {
		_, s.err = s.w.WriteString(text)
	}
}

// escaper makes a string safe between single quotes, for the server and for a client that reads line by line.
var escaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\x1a", `\Z`)

// literal is the SQL of a Go value; bytes become a hexadecimal literal.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + escaper.Replace(v) + "'"
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'"
	case bool:
		return map[bool]string{false: "0", true: "1"}[v]
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		if v.IsZero() {
			return "NULL"
		}
		return "'" + v.UTC().Format(time.DateTime) + "'"
	}
	panic(fmt.Sprintf("no SQL literal for a %T", v))
}

func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteName(n)
	}
	return strings.Join(quoted, ",")
}

func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
