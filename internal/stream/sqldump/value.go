package sqldump

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// next returns the next byte of the file.
func (t *tableReader) next() (byte, error) {
	c, err := t.in.ReadByte()
	if err == nil {
		t.at++
		t.seen = c
	}
	return c, err
}

// back makes next return the last byte once more.
func (t *tableReader) back() {
	if t.in.UnreadByte() == nil {
		t.at--
	}
}

// last is the byte that next returned last.
func (t *tableReader) last() byte { return t.seen }

// nextVisible returns the next byte that is no white space.
func (t *tableReader) nextVisible() (byte, error) {
	for {
		c, err := t.next()
		if err != nil || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, err
		}
	}
}

func (t *tableReader) expect(want byte) error {
	c, err := t.nextVisible()
	if err == nil && c != want {
		err = errMalformed(fmt.Sprintf("%q stands where %q should", c, want))
	}
	return err
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

const maxWord = 128

// word reads letters, digits and underscores, of which there may be none.
func (t *tableReader) word() (string, error) {
	if _, err := t.nextVisible(); err != nil {
		return "", err
	}
	t.back()
	return t.gather("", isWordByte)
}

// gather reads on from start while the bytes fit.
func (t *tableReader) gather(start string, fits func(byte) bool) (string, error) {
	b := []byte(start)
	c, err := t.next()
	for ; err == nil && fits(c); c, err = t.next() {
		if b = append(b, c); len(b) > maxWord {
			return "", errMalformed("a word is too long")
		}
	}
	if err == nil {
		t.back()
	}
	return string(b), err
}

// name reads a name in backticks.
func (t *tableReader) name() (string, error) {
	if err := t.expect('`'); err != nil {
		return "", err
	}
	name, err := t.quoted('`', true)
	if err == nil && name == "" {
		err = errMalformed("a name is empty")
	}
	return name, err
}

// value reads one value; what it says is told only if it is wanted.
func (t *tableReader) value(wanted bool) (Value, error) {
	c, err := t.nextVisible()
	if err != nil {
		return Value{}, err
	}
	if c == '\'' {
		return t.text(wanted)
	}
	if c == '0' {
		switch x, err := t.next(); {
		case err != nil:
			return Value{}, err
		case x == 'x':
			return t.hex(wanted)
		}
		t.back()
	}
	word, err := t.gather(string(rune(c)), isNumberByte)
	switch {
	case err != nil:
		return Value{}, err
	case word == "NULL":
		return Value{Null: true}, nil
	case c == '_': // the character set of the string that follows
		if err := t.expect('\''); err != nil {
			return Value{}, err
		}
		return t.text(wanted)
	case !strings.ContainsRune("+-.0123456789", rune(c)):
		return Value{}, errMalformed(fmt.Sprintf("%q is no value", word))
	}
	return Value{Text: word}, nil
}

func isNumberByte(c byte) bool { return isWordByte(c) || c == '.' || c == '+' || c == '-' }

func (t *tableReader) text(wanted bool) (Value, error) {
	text, err := t.quoted('\'', wanted)
	return Value{Text: text}, err
}

// hex reads the digits of a value that began with 0x.
func (t *tableReader) hex(wanted bool) (Value, error) {
	var digits []byte
	for {
		c, err := t.next()
		if err != nil {
			return Value{}, err
		}
		if !isWordByte(c) {
			t.back()
			break
		}
		if wanted {
			digits = append(digits, c)
		}
		if len(digits) > 2*maxValue {
			return Value{}, errMalformed("a value is too long")
		}
	}
	text, err := hex.DecodeString(string(digits))
	if err != nil {
		return Value{}, errMalformed("a value has odd digits")
	}
	return Value{Text: string(text)}, nil
}

// quoted reads up to the quote that ends a string or a name, and returns it, if wanted, with its escapes undone.
func (t *tableReader) quoted(quote byte, wanted bool) (string, error) {
	var b []byte
	for {
		c, err := t.next()
		if err == nil && c == quote {
			if more, _ := t.in.Peek(1); len(more) == 0 || more[0] != quote {
				return string(b), nil
			}
			c, err = t.next() // doubled, it stands for itself
		} else if err == nil && c == '\\' && quote != '`' {
			if c, err = t.next(); c == '%' || c == '_' {
				b = append(b, '\\')
			}
			c = unescaped(c)
		}
		if err != nil {
			return "", err
		}
		if wanted {
			b = append(b, c)
		}
		if len(b) > maxValue {
			return "", errMalformed("a value is too long")
		}
	}
}

// unescaped is what a byte means after a backslash.
func unescaped(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'b':
		return '\b'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'Z':
		return 0x1a
	}
	return c
}

// skip passes code, strings, comments and whatever stands in parentheses, up to and with one of the bytes in ends.
func (t *tableReader) skip(ends string) error {
	for depth := 0; ; {
		c, err := t.next()
		if err != nil {
			return err
		}
		if depth == 0 && strings.IndexByte(ends, c) >= 0 {
			return nil
		}
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '\'', '"', '`':
			_, err = t.quoted(c, false)
		case '/':
			err = t.comment()
		}
		if err == nil && (depth < 0 || c == ';') {
			err = errMalformed(fmt.Sprintf("%q stands where it does not belong", c))
		}
		if err != nil {
			return err
		}
	}
}

// comment passes one that began with a slash. What the server takes for code is left to be read.
func (t *tableReader) comment() error {
	more, _ := t.in.Peek(2)
	if len(more) < 2 || more[0] != '*' || more[1] == '!' || more[1] == 'M' {
		return nil
	}
	before := byte(0)
	for range 2 {
		if _, err := t.next(); err != nil {
			return err
		}
	}
	for {
		c, err := t.next()
		if err != nil || c == '/' && before == '*' {
			return err
		}
		before = c
	}
}

func (t *tableReader) skipLine() error {
	for {
		if c, err := t.next(); err != nil || c == '\n' {
			return err
		}
	}
}
