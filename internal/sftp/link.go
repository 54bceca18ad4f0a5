package sftp

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
)

// link is the connection of a directory, one at a time.
type link struct {
	command []string

	mu  sync.Mutex
	now *session
}

// errRefused is the error of a connection that could not be made.
var errRefused = errors.New("ssh does not connect")

// get returns the connection there is, or a new one.
func (l *link) get() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		return l.now, nil
	}
	s, err := dial(l.command)
	if err == nil {
		l.now = s
	}
	return s, err
}

// drop ends a connection that was lost.
func (l *link) drop(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == s {
		l.now = nil
	}
	s.close()
}

func (l *link) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		l.now.close()
		l.now = nil
	}
	return nil
}

// atMost is how long a connection may take to end.
const atMost = 5 * time.Second

// session is one ssh that runs.
type session struct {
	client *sftp.Client
	cmd    *exec.Cmd
	said   *tail
	ended  chan struct{}
}

// dial starts ssh in a session of its own, so that what an operator's terminal interrupts is Holdfast, which ends the transfer in good
// order.
func dial(command []string) (*session, error) {
	s := &session{cmd: exec.Command(command[0], append(command[1:len(command):len(command)], "-s", "sftp")...), said: &tail{}, ended: make(chan struct{})}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s.cmd.Stderr, s.cmd.WaitDelay = s.said, atMost // what ssh leaves running may hold it
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	s.client, err = sftp.NewClientPipe(out, in, sftp.UseConcurrentWrites(true))
	go func() {
		if err == nil {
			_ = s.client.Wait() // why it ended is told by what fails then
		}
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%w: %w", errRefused, s.explain(err))
	}
	return s, nil
}

// close ends ssh: in good order, or else with force.
func (s *session) close() {
	if s.client != nil {
		_ = s.client.Close() // what was written was answered
	}
	select {
	case <-s.ended:
		return
	case <-time.After(atMost):
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// explain adds what ssh said to an error, once it has had a moment to say it.
func (s *session) explain(err error) error {
	select {
	case <-s.ended:
	case <-time.After(atMost):
	}
	if text := s.said.text(); text != "" {
		return fmt.Errorf("%w: ssh says: %s", err, text)
	}
	return err
}

// mostSaid is how much of what ssh says is kept, from its end, in bytes.
const mostSaid = 2048

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if len(t.end) > mostSaid {
		t.end = t.end[len(t.end)-mostSaid:]
	}
	return len(p), nil
}

// text is what was kept, in one line.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.FieldsFunc(string(t.end), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
