package journey

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// question is what a command ends with that shows a plan and waits.
const question = "type yes to go on: "

// Asks runs a command line on a terminal until it asks whether to go on, calls meanwhile, answers yes, and waits for its end. What
// the command says on either stream is in Stderr.
func (o *Operator) Asks(meanwhile func(), args ...string) Result {
	o.t.Helper()
	ours, theirs, err := terminal()
	if err != nil {
		o.t.Fatal(err)
	}
	defer ours.Close()
	cmd := o.Command(args...)
	said := &transcript{news: make(chan struct{}, 1)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		o.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its end is in ProcessState
		close(ended)
	}()
	late := time.After(patience)
	for asked := false; !asked; {
		select {
		case <-said.news:
			asked = strings.Contains(said.text(), question)
		case <-ended:
			return Result{cmd.ProcessState.ExitCode(), "", said.text()}
		case <-late:
			_ = cmd.Process.Kill()
			o.t.Fatalf("holdfast %s asks nothing: %s", strings.Join(args, " "), said.text())
		}
	}
	meanwhile()
	if _, err := ours.WriteString("yes\n"); err != nil {
		o.t.Fatal(err)
	}
	<-ended
	return Result{cmd.ProcessState.ExitCode(), "", said.text()}
}

// terminal makes a terminal: what is written to ours is typed at theirs.
func terminal() (ours, theirs *os.File, err error) {
	if ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = ours.Close()
	}
	return ours, theirs, err
}

// transcript is what a command has said, and a word that there is more.
type transcript struct {
	mu   sync.Mutex
	all  bytes.Buffer
	news chan struct{}
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Write(p)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *transcript) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}
