package host

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoTrailer means that the far side never reported how the command ended: the connection was cut, or the
// supervisor could not run. What was read until then proves nothing.
var ErrNoTrailer = errors.New("no exit status came back")

var errKilled = errors.New("killed")

// ExitError is a command that ran and did not exit with 0.
type ExitError struct {
	Host string // where it ran
	Cmd  string // the program's name, without its arguments
	// Code is the exit status as a shell sees it: 128 + N after signal N.
	Code int
	// Signal is the name of the signal ("KILL") when Code is 128 + one, else "". A command that itself exits with such
	// a status cannot be told from one that was killed.
	Signal string
	// Stderr is the end of what the command wrote there, without the secret it was given.
	Stderr string
}

// Error gives the status and the last line of stderr.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != "" {
		how = "killed by signal " + e.Signal
	}
	text := fmt.Sprintf("%s on %s: %s", e.Cmd, e.Host, how)
	if last := lastLine(e.Stderr); last != "" {
		text += ": " + last
	}
	return text
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\r\n ")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

var signals = map[int]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV",
	12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS",
}
