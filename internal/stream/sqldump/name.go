package sqldump

import (
	"fmt"
	"strings"
)

// encodeTable makes a file name of a table's, view's or sequence's name. A leading underscore is ours, a tilde numbers
// repeated parts.
func encodeTable(name string) string { return encode(name, "%/~") }

// encodeDB makes a directory name of a database's name. It has no dot, so that it is never header.sql.
func encodeDB(name string) string { return encode(name, "%/~.") }

func encode(name, special string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c < 0x20 || c == 0x7f || strings.IndexByte(special, c) >= 0 || i == 0 && (c == '.' || c == '_') {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// quoted returns the name in backticks with which text starts, with doubled backticks made single.
func quoted(text string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(text, "`")
	if !ok {
		return "", false
	}
	var b strings.Builder
	for {
		part, after, closed := strings.Cut(rest, "`")
		if !closed {
			return "", false
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, "`") {
			return b.String(), b.Len() > 0
		}
		b.WriteByte('`')
		rest = after[1:]
	}
}
