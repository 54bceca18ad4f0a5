package report

import (
	"strings"
	"sync"
	"testing"
)

// screen is a small terminal: it understands what the live display writes and nothing else, so that an unexpected
// sequence is a failure. Lines that are wider than it wrap, as on a real one.
type screen struct {
	sync.Mutex
	t          *testing.T
	wide       int
	cells      [][]rune
	row, col   int
	colored    bool
	writeCalls int
}

func (s *screen) Write(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	s.writeCalls++
	s.show(string(p))
	return len(p), nil
}

func (s *screen) show(text string) {
	for text != "" {
		if seq, rest, ok := sequence(text); ok {
			s.control(seq)
			text = rest
			continue
		}
		r := []rune(text)[0]
		s.put(r)
		text = text[len(string(r)):]
	}
}

// resize makes the screen narrower and wraps what is on it anew, as terminals do.
func (s *screen) resize(wide int) {
	text := s.String()
	s.Lock()
	defer s.Unlock()
	s.wide, s.cells, s.row, s.col = wide, nil, 0, 0
	s.show(text)
}

func (s *screen) size() (width, height int) {
	s.Lock()
	defer s.Unlock()
	return s.wide, 24
}

// sequence cuts an escape sequence from the front of text.
func sequence(text string) (seq, rest string, ok bool) {
	if !strings.HasPrefix(text, "\x1b[") {
		return "", text, false
	}
	end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' })
	return text[2 : 2+end+1], text[2+end+1:], true
}

func (s *screen) control(seq string) {
	switch last := seq[len(seq)-1]; {
	case last == 'm':
		s.colored = true
	case last == 'A':
		n := 0
		for _, c := range seq[:len(seq)-1] {
			n = n*10 + int(c-'0')
		}
		s.row -= n
		if s.row < 0 {
			s.t.Fatalf("the cursor went above the screen")
		}
	case seq == "J":
		s.cells = s.cells[:min(s.row, len(s.cells))]
	default:
		s.t.Fatalf("unexpected sequence %q", seq)
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\r':
		s.col = 0
		return
	case '\n':
		s.row, s.col = s.row+1, 0
		return
	}
	if r < ' ' {
		s.t.Fatalf("unexpected control character %q", r)
	}
	if s.col == s.wide {
		s.row, s.col = s.row+1, 0
	}
	for len(s.cells) <= s.row {
		s.cells = append(s.cells, nil)
	}
	for len(s.cells[s.row]) <= s.col {
		s.cells[s.row] = append(s.cells[s.row], ' ')
	}
	s.cells[s.row][s.col] = r
	s.col++
}

func (s *screen) String() string {
	s.Lock()
	defer s.Unlock()
	var b strings.Builder
	for _, row := range s.cells {
		b.WriteString(strings.TrimRight(string(row), " ") + "\n")
	}
	return b.String()
}
