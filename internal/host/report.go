package host

import (
	"bufio"
	"io"
	"strings"

	"holdfast/internal/secret"
)

const (
	stderrTail = 32 << 10 // bytes of stderr kept for an error
	stderrLine = 64 << 10 // longer lines are told in pieces
)

// report reads a command's stderr: lines for whoever listens, the end of it for an error, and the supervisor's trailer.
type report struct {
	prefix  string // of the trailer's line
	hide    *strings.Replacer
	listen  func(string)
	tail    []byte
	blank   bool          // an empty line was read and not yet told; the one before the trailer is the supervisor's
	trailer string        // what follows prefix, "" until it came
	ended   chan struct{} // closed when the trailer came
	started chan []string // buffered; gets process number and start time of a fed command
}

func newReport(c Cmd, nonce string) *report {
	return &report{prefix: "holdfast " + nonce + " ", hide: redactor(c.Secret), listen: c.OnStderr, started: make(chan []string, 1), ended: make(chan struct{})}
}

// redactor hides every line of a secret. Of an option file it hides values alone, and only of keys that sound secret,
// because user names and ports are in every message.
func redactor(s secret.Secret) *strings.Replacer {
	var pairs []string
	options := strings.HasPrefix(s.Reveal(), "[") && strings.Contains(s.Reveal(), "\n")
	for line := range strings.Lines(s.Reveal()) {
		value := strings.TrimSpace(line)
		if options {
			value = hidden(value)
		}
		if value != "" {
			pairs = append(pairs, value, s.String(), unescaped.Replace(value), s.String())
		}
	}
	return strings.NewReplacer(pairs...)
}

// hidden returns the value of an option file's line if its key sounds secret, else "".
func hidden(line string) string {
	key, value, _ := strings.Cut(line, "=")
	for _, word := range []string{"pass", "secret", "key"} {
		if strings.Contains(strings.ToLower(key), word) {
			return unquoted(strings.TrimSpace(value))
		}
	}
	return ""
}

// unquoted takes away the quotes that an option file may have around a value.
func unquoted(value string) string {
	if n := len(value); n > 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
		return value[1 : n-1]
	}
	return value
}

// unescaped is what an option file's value means; programs tell that, not how it was written.
var unescaped = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

// read consumes r to its end.
func (t *report) read(r io.Reader) {
	in := bufio.NewReaderSize(r, stderrLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 && t.trailer == "" {
			t.line(strings.TrimSuffix(string(line), "\n"))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (t *report) line(s string) {
	if status, ok := strings.CutPrefix(s, t.prefix); ok {
		t.status(status)
		return
	}
	if t.blank {
		t.tell("")
	}
	if t.blank = s == ""; !t.blank {
		t.tell(t.hide.Replace(s))
	}
}

// status takes a line of the supervisor, and drops the empty line before it.
func (t *report) status(s string) {
	t.blank = false
	id, ok := strings.CutPrefix(s, "started ")
	if !ok {
		t.trailer = s
		close(t.ended)
		return
	}
	select {
	case t.started <- strings.Fields(id):
	default:
	}
}

func (t *report) tell(s string) {
	t.tail = append(append(t.tail, s...), '\n')
	if over := len(t.tail) - stderrTail; over > stderrTail {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
	if t.listen != nil {
		t.listen(s)
	}
}

// text is the bounded end of stderr.
func (t *report) text() string { return string(t.tail[max(0, len(t.tail)-stderrTail):]) }
