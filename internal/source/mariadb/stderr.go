package mariadb

import (
	"regexp"
	"strings"
	"sync"
	"time"
)

// keptLines is how much of a command's stderr is kept for its error.
const keptLines = 64

// stderrLog keeps the last lines that a command wrote to stderr.
type stderrLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *stderrLog) add(line string) {
	if line = strings.TrimSpace(redact(line)); line == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, line)
}

// hashed is how the server shows an account's password: as its hash, which is a secret too.
var hashed = regexp.MustCompile(`(?i)(IDENTIFIED (?:BY PASSWORD|VIA \S+ (?:USING|AS))) '[^']*'`)

func redact(line string) string { return hashed.ReplaceAllString(line, "$1 [redacted]") }

// last returns the last line, or "".
func (l *stderrLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	return l.lines[len(l.lines)-1]
}

var (
	// stamp is what the tools put before their words: the thread and the time.
	stamp = regexp.MustCompile(`^(\[\d+\]\s+)?(\d{4}-\d\d-\d\d\s+\d?\d:\d\d:\d\d\s+)?(\d+\s+)?`)
	// grave lines name the trouble; harmless ones come after it and hide it.
	grave    = regexp.MustCompile(`(?i)error|denied|missing required privilege|fatal|has gone away|lost connection|not yet prepared|no space|too many|killed|cannot|can't|failed`)
	harmless = regexp.MustCompile(`(?i)\[note\]|^warning|streaming |\.\.\.done`)
)

// meaningful returns the line that tells best why the command failed: the last one that names a trouble, else the last
// one that is not just progress, without time stamps; "" when there is none.
func (l *stderrLog) meaningful() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	best, last := "", ""
	for _, line := range l.lines {
		words := strings.TrimSpace(stamp.ReplaceAllString(line, ""))
		if harmless.MatchString(words) {
			continue
		}
		last = words
		if grave.MatchString(words) {
			best = words
		}
	}
	if best == "" {
		return last
	}
	return best
}

// lockTimes are when the server's lock against DDL began and ended, and when commits were blocked last, as its tool told.
// They are of the clock here, which is one for all copies of a run.
type lockTimes struct {
	mu        sync.Mutex
	from, to  time.Time
	committed time.Time
}

// note looks for the stages of the lock in a line of mariadb-backup and reports whether the lock is just beginning.
func (l *lockTimes) note(line string, now time.Time) (begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.from.IsZero() && strings.Contains(line, "BACKUP STAGE BLOCK_DDL"):
		l.from = now
		return true
	case strings.Contains(line, "BACKUP STAGE BLOCK_COMMIT"):
		l.committed = now
	case strings.Contains(line, "BACKUP STAGE END"):
		l.to = now
	}
	return false
}

// moment is when the state that the copy holds was the server's: while no commit could go on. An old tool does not tell,
// and then it is the end of the copy.
func (l *lockTimes) moment(end time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []time.Time{l.committed, l.to} {
		if !t.IsZero() {
			return t
		}
	}
	return end
}

// seconds is how long the lock was held, 0 when that was not seen.
func (l *lockTimes) seconds() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from.IsZero() || l.to.Before(l.from) {
		return 0
	}
	return l.to.Sub(l.from).Seconds()
}
