package sqldump

import (
	"bytes"
	"io"
)

const maxDelimiter = 64

// special are the bytes at which code, as opposed to strings and comments, needs a look.
var special = table("'\"`-/#")

func table(chars string) *[256]bool {
	var t [256]bool
	for _, c := range []byte(chars) {
		t[c] = true
	}
	return &t
}

// statement passes one statement, up to and with its delimiter. line is how it starts.
func (s *splitter) statement(line []byte) error {
	if s.path == HeaderPath && bytes.HasPrefix(line, []byte("/*M!999999\\-")) {
		s.sum.Sandbox = true
		return s.skipLine(line) // has no delimiter
	}
	if isInsert(line) && s.table != nil && len(s.delimiter) == 1 {
		return s.insert()
	}
	mode := s.mode.after(line)
	err := s.code(func() (bool, error) { return false, nil })
	s.mode = mode
	return err
}

func isInsert(line []byte) bool {
	return bytes.HasPrefix(line, []byte("INSERT ")) || bytes.HasPrefix(line, []byte("REPLACE "))
}

// sqlMode is what the session's sql_mode changes about quotes. mariadb-dump sets it around every routine, trigger and
// event to what it was when they were made.
type sqlMode struct{ noBackslash, ansiQuotes bool }

// after returns the mode once the statement that begins with line has run.
func (m sqlMode) after(line []byte) sqlMode {
	if !bytes.HasPrefix(line, []byte("/*!50003 SET sql_mode ")) {
		return m
	}
	return sqlMode{
		noBackslash: bytes.Contains(line, []byte("NO_BACKSLASH_ESCAPES")),
		ansiQuotes:  bytes.Contains(line, []byte("ANSI_QUOTES")),
	}
}

// escape returns the byte that takes the meaning from the next one between quotes q, or q itself for none.
func (m sqlMode) escape(q byte) byte {
	if q == '`' || m.noBackslash || q == '"' && m.ansiQuotes {
		return q
	}
	return '\\'
}

// code passes code, strings and comments until the delimiter or until stop, asked at each byte that starts a word V or
// a delimiter, says so.
func (s *splitter) code(stop func() (bool, error)) error {
	first := s.delimiter[0]
	for {
		w, err := s.in.window()
		if err != nil {
			return err
		}
		i := 0
		for i < len(w) && !special[w[i]] && w[i] != first && w[i] != 'V' {
			i++
		}
		s.in.at += i
		if i == len(w) {
			continue
		}
		if err := s.in.need(maxDelimiter); err != nil {
			return err
		}
		w = s.in.buf[s.in.at:s.in.end]
		if bytes.HasPrefix(w, s.delimiter) {
			s.in.at += len(s.delimiter)
			return nil
		}
		if w[0] == 'V' {
			if done, err := stop(); done || err != nil {
				return err
			}
		}
		if err := s.token(w); err != nil {
			return err
		}
	}
}

// token passes the string or comment that starts w, or one byte.
func (s *splitter) token(w []byte) error {
	switch {
	case w[0] == '\'' || w[0] == '"' || w[0] == '`':
		return s.quoted(w[0])
	case w[0] == '#' || isComment(w):
		return s.until("\n")
	case bytes.HasPrefix(w, []byte("/*")) && !bytes.HasPrefix(w, []byte("/*!")) && !bytes.HasPrefix(w, []byte("/*M!")):
		s.in.at += len("/*")
		return s.until("*/")
	}
	s.in.at++
	return nil
}

// until passes everything up to and with end.
func (s *splitter) until(end string) error {
	for {
		if err := s.in.need(len(end)); err != nil {
			return err
		}
		w := s.in.buf[s.in.at:s.in.end]
		if i := bytes.Index(w, []byte(end)); i >= 0 {
			s.in.at += i + len(end)
			return nil
		}
		if len(w) < len(end) {
			return io.ErrUnexpectedEOF
		}
		s.in.at += len(w) - len(end) + 1
	}
}

// quoted passes what stands between two quotes q. A doubled quote is left to look like two strings side by side.
func (s *splitter) quoted(q byte) error {
	s.in.at++
	escape := s.mode.escape(q)
	for {
		w, err := s.in.window()
		if err != nil {
			return err
		}
		i := indexEither(w, q, escape)
		if i < 0 {
			s.in.at += len(w)
			continue
		}
		s.in.at += i + 1
		if w[i] == q {
			return nil
		}
		if _, err := s.in.window(); err != nil {
			return err
		}
		s.in.at++ // whatever was escaped
	}
}
