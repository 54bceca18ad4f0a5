package sqldump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"holdfast/internal/stream"
)

// splitter is the state of one Split. Between statements it looks at whole lines, and only there can a comment begin
// a new part or a line change the delimiter; inside a statement only the tokenizer of token.go moves on.
type splitter struct {
	ctx  context.Context
	dst  stream.Tree
	opts Options
	in   *input
	sum  Summary

	part      stream.File
	path      string
	base      string // the path without the number of a repeated part
	table     *Table // of the current part, nil elsewhere
	written   int64  // bytes of the current part
	db        string
	parts     map[string]int // how often a path was wanted
	databases map[string]bool
	views     map[string]bool

	delimiter []byte
	mode      sqlMode // in force
	row       row
}

func (s *splitter) run() error {
	if err := s.start(HeaderPath); err != nil {
		return err
	}
	for {
		line, err := s.in.line()
		if err != nil {
			return err // the end of the dump before its completion line
		}
		switch {
		case bytes.HasPrefix(line, []byte(completed)) && s.path == FooterPath:
			return s.complete(line)
		case blank(line):
			s.in.at += len(line)
		case startsFooter(line) && s.path != FooterPath && len(s.delimiter) == 1:
			err = s.start(FooterPath)
		case isComment(line):
			err = s.comment(line)
		case hasWord(line, "DELIMITER"):
			err = s.setDelimiter(line)
		default:
			err = s.statement(line)
		}
		if err != nil {
			return err
		}
	}
}

func blank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }

func isComment(line []byte) bool {
	return bytes.HasPrefix(line, []byte("--")) && (len(line) == 2 || line[2] <= ' ')
}

func hasWord(line []byte, word string) bool {
	return len(line) > len(word) && strings.EqualFold(string(line[:len(word)]), word) && line[len(word)] == ' '
}

// complete takes the last line; nothing but blanks may follow.
func (s *splitter) complete(line []byte) error {
	var ok bool
	if line[len(line)-1] != '\n' {
		return io.ErrUnexpectedEOF
	}
	if s.sum.CompletedAt, ok = completion(string(line)); !ok {
		return errMalformed(fmt.Sprintf("%q is no completion line", line))
	}
	s.in.at += len(line)
	for {
		line, err := s.in.line()
		if err == io.EOF {
			return s.finishPart()
		}
		if err != nil {
			return err
		}
		if !blank(line) {
			return errMalformed("the dump goes on after its completion line")
		}
		s.in.at += len(line)
	}
}

// comment takes a comment line. Parts begin with a block of three, of which the first is empty and belongs to the part
// already; a name that holds a newline makes the block longer.
func (s *splitter) comment(line []byte) error {
	if string(line) != "--\n" {
		s.facts(string(line))
		return s.skipLine(line)
	}
	if err := s.in.need(2 * maxLine); err != nil {
		return err
	}
	block := s.in.buf[s.in.at:min(s.in.end, s.in.at+2*maxLine)]
	end := bytes.Index(block[len("--"):], []byte("\n--\n"))
	if end < 1 {
		s.in.at += len("--\n")
		return nil
	}
	text := string(block[len("--\n") : len("--")+end])
	if strings.Count(text, "\n-- ") != strings.Count(text, "\n") {
		s.in.at += len("--\n") // no block: other lines come before the next empty comment
		return nil
	}
	if err := s.section(strings.ReplaceAll(text, "\n-- ", "\n")); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		s.facts(line)
	}
	s.in.at += len("--\n") + len(text) + len("\n--\n")
	return nil
}

// skipLine passes a line of which line is the start.
func (s *splitter) skipLine(line []byte) error {
	for {
		s.in.at += len(line)
		if line[len(line)-1] == '\n' {
			return nil
		}
		var err error
		if line, err = s.in.line(); err != nil {
			return err
		}
	}
}

func (s *splitter) setDelimiter(line []byte) error {
	d := bytes.TrimSpace(line[len("DELIMITER"):])
	if line[len(line)-1] != '\n' && len(line) < maxLine {
		return io.ErrUnexpectedEOF
	}
	if len(d) == 0 || len(d) > maxDelimiter {
		return errMalformed(fmt.Sprintf("%q sets no delimiter", line[:min(len(line), 40)]))
	}
	s.delimiter = bytes.Clone(d)
	s.in.at += len(line)
	return nil
}

// start ends the current part and begins the one at name, unless it is the same. A path that was wanted before gets a
// number.
func (s *splitter) start(name string) error {
	if name == s.base {
		return nil
	}
	if err := s.finishPart(); err != nil {
		return err
	}
	s.base = name
	s.parts[name]++
	if n := s.parts[name]; n > 1 {
		ext := path.Ext(name)
		name = fmt.Sprintf("%s~%d%s", strings.TrimSuffix(name, ext), n, ext)
	}
	f, err := s.dst.Create(name, s.meta(0o640), stream.Plain)
	if err != nil {
		return fmt.Errorf("create part: %w", err)
	}
	s.part, s.path = f, name
	s.sum.Order = append(s.sum.Order, name)
	return nil
}

func (s *splitter) finishPart() error {
	if s.part == nil {
		return nil
	}
	if err := s.in.flush(); err != nil {
		return err
	}
	if t := s.table; t != nil {
		t.Bytes = s.written
		s.sum.Tables = append(s.sum.Tables, *t)
		s.sum.Rows += t.Rows
	}
	f := s.part
	s.table, s.written, s.part = nil, 0, nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close part: %w", err)
	}
	return nil
}

// take is handed every byte of the dump in turn.
func (s *splitter) take(done []byte) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.row.open {
		s.row.spill(s.in.buf[s.row.start:s.in.at])
	}
	s.written += int64(len(done))
	if s.opts.Read != nil {
		s.opts.Read(int64(len(done)))
	}
	if _, err := s.part.Write(done); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	return nil
}
