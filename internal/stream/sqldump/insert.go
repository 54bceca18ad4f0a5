package sqldump

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// specialRow are the bytes outside strings that shape an INSERT.
var specialRow = table("'\"`();")

// rows is where the scan of an INSERT's rows stands. It is plain values, so that the scan can stop at any byte at
// which the window ends.
type rows struct {
	depth   int  // of parentheses
	quote   byte // the quote that ends the string the scan is in, 0 outside strings
	escape  byte // what takes the meaning from the next byte in that string
	escaped bool // the next byte has lost its meaning
}

// insert passes an INSERT and counts and hashes its rows.
func (s *splitter) insert() error {
	values := false
	err := s.code(func() (bool, error) {
		values = bytes.HasPrefix(s.in.buf[s.in.at:s.in.end], []byte("VALUES"))
		return values, nil
	})
	if err != nil || !values {
		return err
	}
	var r rows
	for {
		w, err := s.in.window()
		if err != nil {
			return err
		}
		used, done, err := s.scan(&r, w)
		s.in.at += used
		if done || err != nil {
			return err
		}
	}
}

// scan looks at w, which starts where the input stands, and returns how much of it was used: all, unless the
// statement ended. Rows that end are counted and hashed.
func (s *splitter) scan(r *rows, w []byte) (used int, done bool, err error) {
	at := s.in.at
	for i := 0; i < len(w); {
		if r.quote != 0 {
			i = r.inString(w, i)
			continue
		}
		for i < len(w) && !specialRow[w[i]] {
			i++
		}
		if i == len(w) {
			break
		}
		c := w[i]
		i++
		switch c {
		case '(':
			if r.depth++; r.depth == 1 {
				s.row.begin(at + i - 1)
			}
		case ')':
			if r.depth--; r.depth == 0 {
				s.table.Hash.add(s.row.finish(s.in.buf[s.row.start : at+i]))
				s.table.Rows++
			} else if r.depth < 0 {
				return i, true, errMalformed("a row ends that did not begin")
			}
		case ';':
			if r.depth != 0 {
				return i, true, errMalformed("a statement ends inside a row")
			}
			return i, true, nil
		default:
			r.quote, r.escape = c, s.mode.escape(c)
		}
	}
	return len(w), false, nil
}

// inString goes on in a string from w[i] and returns where it stands after the string's end or at the end of w. A
// doubled quote looks like two strings side by side, which comes to the same.
func (r *rows) inString(w []byte, i int) int {
	if r.escaped {
		r.escaped = false
		i++
	}
	quote, escape := r.quote, r.escape
	quotes, escapes := ones*uint64(quote), ones*uint64(escape)
	for i < len(w) {
		if i+8 <= len(w) {
			v := binary.LittleEndian.Uint64(w[i:])
			x, y := v^quotes, v^escapes
			hit := ((x-ones)&^x | (y-ones)&^y) & highs
			if hit == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hit) / 8
		}
		switch w[i] {
		case quote:
			r.quote = 0
			return i + 1
		case escape:
			i++
		}
		i++
	}
	r.escaped = i > len(w)
	return len(w)
}

// Eight bytes that hold a one, and eight that have only their highest bit. With them a word shows in one look whether
// a byte in it is zero, and after XOR, whether it is another.
const ones, highs = 0x0101010101010101, 0x8080808080808080

// indexEither returns the first place of a or b in p, looking at eight bytes at a time, or -1.
func indexEither(p []byte, a, b byte) int {
	as, bs := ones*uint64(a), ones*uint64(b)
	i := 0
	for ; i+8 <= len(p); i += 8 {
		v := binary.LittleEndian.Uint64(p[i:])
		x, y := v^as, v^bs
		if hit := ((x-ones)&^x | (y-ones)&^y) & highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(p); i++ {
		if p[i] == a || p[i] == b {
			return i
		}
	}
	return -1
}
