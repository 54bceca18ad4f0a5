package schema

import (
	_ "embed" // oddities.sql
	"fmt"
	"strings"
)

//go:embed oddities.sql
var odd string

// oddities writes the schema oddities and its rows.
func oddities(s *script, c *Cloud) {
	s.text(odd)
	// Zero dates are what old applications left behind; a strict server would refuse them. The fixed time keeps the
	// history of the versioned table the same in every load.
	s.text("SET sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO';\nSET autocommit = 0;\nSET timestamp = 1709281800;\n")
	extremeRows(s, c)
	nameRows(s)
	engineRows(s, c)
	relatedRows(s, c)
	s.text("SET timestamp = 1709281900;\nUPDATE oddities.versioned SET price = price + 1 WHERE id % 2 = 0;\n")
	s.text("DO NEXTVAL(oddities.ticket);\nCOMMIT;\nSET autocommit = 1;\nSET timestamp = DEFAULT;\n")
}

// hardWords hold every character that some tool treats as special.
const hardWords = "quote ' double \" back \\ nul \x00 sub \x1a tab \t cr \r lf \n emoji 🦭👩‍👩‍👧 end"

func extremeRows(s *script, c *Cloud) {
	s.into("oddities.everything", "id", "tiny", "medium", "big", "exact", "inexact", "flags", "fixed", "latin", "old",
		"words", "page", "raw", "lump", "doc", "choice", "several", "day", "moment", "stamped", "span", "spring", "peer")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	s.row(1, nil, nil, 0, nil, nil, nil, "", nil, nil, nil, nil, nil, nil, nil, "", nil, nil, nil,
		"2024-03-01 00:00:00.001", nil, nil, nil)
	s.row(2, -128, 16777215, "-9223372036854775808", "-99999999999999999999999999999999999.999999999999999999999999999999",
		-1.7976931348623157e308, 131071, "  x", "Ä\u00ff", "日本", "", "", []byte{}, []byte{}, `{"a": [1, null, "\u00e9"]}`,
		"n'o", "a,c", "0000-00-00", "0000-00-00 00:00:00", "2038-01-19 03:14:07.999", "-838:59:59", 1901, "::1")
	s.row(3, 127, 0, "9223372036854775807", "0.000000000000000000000000000001", 5e-324, 0, "🦭", "'", `\`,
		hardWords, strings.Repeat("long text; ", 40000),
		every, c.dice.bytes(300000), `"🦭"`, `ma\ybe`, "", "9999-12-31", "9999-12-31 23:59:59.999999",
		"2024-03-31 01:30:00.000", "838:59:59", 2155, "2001:db8::dead:beef")
	s.row(0, 0, 7, -1, 0, 0.1, 1, "null", "NULL", "\\N", "NULL", "-- Dump completed", []byte("\x00\xff\xfe'\\\n"), []byte{0},
		"{}", "vielleicht ½", "a,b,c", "2024-02-00", "2024-02-29 12:00:00.000001", "2024-10-27 00:30:00.000", "-00:00:01", 0, nil)
	s.text("UPDATE oddities.everything SET place = POINT(8.54, 47.37) WHERE id = 3;\n")
}

func nameRows(s *script) {
	s.into("oddities.tab`le with spaces – ünï 表", "col umn", "back`tick", "select", "größe; DROP")
	s.row(1, "`", "SELECT 1;", -1)
	s.row(-2, "``", "DELIMITER $$", nil)
	s.into("oddities.nokey", "a", "b")
	for i := range 50 {
		s.row(i%3, []any{"twin", nil, ""}[i%3])
	}
}

func engineRows(s *script, c *Cloud) {
	for _, table := range []string{"isam", "aria", "squeezed"} {
		column := map[bool]string{true: "page", false: "word"}[table == "squeezed"]
		s.into("oddities."+table, "id", column)
		for i := range 100 {
			s.row(i, fmt.Sprintf("%s ½ %x", table, c.dice.bytes(8)))
		}
	}
	s.into("oddities.sliced", "id", "year")
	for i := range 60 {
		s.row(i, 2022+i%5)
	}
	s.into("oddities.versioned", "id", "price")
	for i := range 20 {
		s.row(i, 100*i)
	}
}

// relatedRows makes the trigger write, too.
func relatedRows(s *script, c *Cloud) {
	s.into("oddities.parent", "id", "boss")
	s.row(1, nil)
	for i := 2; i <= 20; i++ {
		s.row(i, i/2)
	}
	s.into("oddities.child", "id", "parent_id", "total")
	for i := range 100 {
		s.row(i, 1+c.dice.IntN(20), c.dice.IntN(50)-5)
	}
}
