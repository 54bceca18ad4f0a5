package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

const (
	pipeSize = 1 << 20         // bytes asked for the pipes of stdout and stdin
	grace    = 5 * time.Second // for the far side to kill a command, before the transport itself is killed
)

// place is a Host of this package: one that can say how to run a program there from here.
type place interface {
	Host
	// command is the argument vector that runs args, a program with its arguments, at the place; bulk as in Cmd.
	command(args []string, bulk bool) ([]string, error)
	// diagnose explains why a transport brought no trailer, from its exit status and stderr; nil if it cannot.
	diagnose(code int, stderr string) error
	// inherits reports whether what runs there has the descriptors that its transport was started with.
	inherits() bool
}

// Process is a running command.
type Process struct {
	at     place
	name   string
	ctx    context.Context
	cmd    *exec.Cmd
	stdin  *os.File
	input  *os.File // what the command reads goes here; nil when it goes into stdin, or there is none
	stdout *output
	report *report

	kill    sync.Once
	killed  chan struct{} // closed by Kill
	feedErr chan error    // buffered; gets what ended the feed
	done    chan struct{} // closed when the transport is gone and its stderr read
}

// start runs c at p.
func start(ctx context.Context, p place, c Cmd) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("run a command: no program given")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	nonce := rand.Text()
	head, err := header(c, nonce, feedOf(p, c))
	if err != nil {
		return nil, fmt.Errorf("run %s on %s: %w", programName(c), p, err)
	}
	argv, err := p.command(supervised(), c.Bulk)
	if err != nil {
		return nil, err
	}
	t := &Process{
		at: p, name: programName(c), ctx: ctx, report: newReport(c, nonce),
		killed: make(chan struct{}), done: make(chan struct{}), feedErr: make(chan error, 1),
	}
	stderr, err := t.launch(argv, nonce, feedOf(p, c) == feedDirect)
	if err != nil {
		return nil, fmt.Errorf("run %s on %s: %w", t.name, p, err)
	}
	go t.talk(head, c)
	go t.attend(stderr)
	go t.guard()
	return t, nil
}

// feedOf is how a command gets its input at a place: without frames where that can be, which saves two of four copies of it.
func feedOf(p place, c Cmd) string {
	switch {
	case c.Stdin == nil:
		return ""
	case p.inherits():
		return feedDirect
	}
	return feedFramed
}

func programName(c Cmd) string {
	if c.Name != "" {
		return c.Name
	}
	return filepath.Base(c.Args[0])
}

// launch starts the transport with pipes on all three sides, and one for the command's input if that comes directly, and returns the
// end of its stderr.
func (p *Process) launch(argv []string, nonce string, direct bool) (*os.File, error) {
	pipes := make([][2]*os.File, 3, 4)
	if direct {
		pipes = pipes[:4]
	}
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			closePipes(pipes[:i])
			return nil, err
		}
		pipes[i] = [2]*os.File{r, w}
	}
	enlarge(pipes[0][1])
	enlarge(pipes[1][0])
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = pipes[0][0], pipes[1][1], pipes[2][1]
	if direct {
		enlarge(pipes[3][1])
		p.cmd.ExtraFiles = []*os.File{6 - 3: pipes[3][0], 7 - 3: pipes[3][1]}
	}
	// An interrupt typed at the terminal is for this program, which then ends its commands itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		closePipes(pipes)
		return nil, err
	}
	closeAll(pipes[0][0], pipes[1][1], pipes[2][1])
	if direct {
		closeAll(pipes[3][0])
		p.input = pipes[3][1]
	}
	p.stdin, p.stdout = pipes[0][1], newOutput(pipes[1][0], nonce)
	return pipes[2][0], nil
}

func closePipes(pipes [][2]*os.File) {
	for _, p := range pipes {
		closeAll(p[0], p[1])
	}
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// enlarge asks for a large pipe buffer; one that stays small is only slower.
func enlarge(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// talk sends the header, heartbeats and the feed.
func (p *Process) talk(head []byte, c Cmd) {
	_, _ = p.stdin.Write(head)
	if c.Stdin != nil {
		go func() {
			err := p.feed(c.Stdin)
			p.feedErr <- err
			if err != nil {
				p.Kill()
			}
		}()
	}
	beat(p.stdin, p.done)
}

func (p *Process) feed(r io.Reader) error {
	if p.input == nil {
		return feed(p.stdin, r)
	}
	defer p.input.Close()
	return pour(p.stdin, p.input, r)
}

// attend waits for the end of the transport and of its stderr, which something it left behind may hold open.
func (p *Process) attend(stderr *os.File) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.report.read(stderr)
	}()
	_ = p.cmd.Wait()
	_ = stderr.SetReadDeadline(time.Now().Add(2 * time.Second))
	<-read
	closeAll(stderr, p.stdin)
	close(p.done)
}

// guard ends the process when its context ends or when it is killed: by the end of its stdin, which makes the
// supervisor kill the command, and if that does not help by force against the transport.
func (p *Process) guard() {
	select {
	case <-p.done:
		return
	case <-p.report.ended: // a supervisor that was fed waits for the end of its stdin then
		_ = p.stdin.Close()
		return
	case <-p.ctx.Done():
	case <-p.killed:
	}
	_ = p.stdin.Close()
	select {
	case <-p.done:
		return
	case id := <-p.report.started:
		p.strike(id)
	case <-time.After(grace):
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
	}
}

// strike kills a fed command with a second one: its supervisor may be stuck passing on input that the command does
// not read, and then does not see the end of its stdin.
func (p *Process) strike(id []string) {
	select {
	case <-p.done:
		return
	case <-time.After(time.Second):
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), grace)
	defer cancel()
	_ = Run(ctx, p.at, Cmd{Args: append([]string{"sh", "-c", killScript, "kill"}, id...)})
}

// Stdout is what the command writes. It must be read to its end or given up with Kill; it ends with io.EOF only if it
// is complete, and with io.ErrUnexpectedEOF if the transport died.
func (p *Process) Stdout() io.Reader { return p.stdout }

// Kill kills the command and everything in its session. It returns at once; Wait tells when it is over.
func (p *Process) Kill() { p.kill.Do(func() { close(p.killed) }) }

// Wait discards what of Stdout was not read, waits for the command's end and returns nil only if the far side reported
// exit status 0 and Stdout was complete. Else the error is the context's, an *ExitError, or a problem that says what
// kept the command from running or its status from coming back (then errors.Is ErrNoTrailer).
func (p *Process) Wait() error {
	_, _ = io.Copy(io.Discard, p.stdout)
	p.settle()
	_ = p.stdout.pipe.Close()
	err := p.verdict()
	if err == nil {
		return nil
	}
	select {
	case ferr := <-p.feedErr:
		if ferr != nil {
			return fmt.Errorf("%s on %s: read its input: %w", p.name, p.at, ferr)
		}
	default:
	}
	if cause := context.Cause(p.ctx); cause != nil {
		return fmt.Errorf("%s on %s: %w", p.name, p.at, cause)
	}
	select {
	case <-p.killed:
		return fmt.Errorf("%s on %s: %w", p.name, p.at, errKilled)
	default:
		return err
	}
}

// settle waits for the transport's end. Once the command's end is proven, a transport that stays, because something
// the command left behind holds its output open, is not waited for.
func (p *Process) settle() {
	select {
	case <-p.done:
		return
	case <-p.report.ended:
	}
	select {
	case <-p.done:
	case <-time.After(time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// verdict reads the trailer.
func (p *Process) verdict() error {
	t := p.report.trailer
	if reason, ok := strings.CutPrefix(t, "refused "); ok {
		return problem.New(problem.Failed, "mend this on "+p.at.String()+" and try again", "%s on %s was not started: %s", p.name, p.at, reason)
	}
	code, err := strconv.Atoi(t)
	if err != nil {
		return p.lost()
	}
	if code != 0 {
		return p.exited(code)
	}
	if !p.stdout.whole() {
		return fmt.Errorf("%s on %s: its output was cut: %w", p.name, p.at, io.ErrUnexpectedEOF)
	}
	return nil
}

func (p *Process) exited(code int) error {
	e := &ExitError{Host: p.at.String(), Cmd: p.name, Code: code, Signal: signals[code-128], Stderr: p.report.text()}
	switch code {
	case 126, 127:
		return &problem.Error{Cause: e, Hint: fmt.Sprintf("install %s on %s, or correct its path", p.name, p.at)}
	}
	return e
}

// lost explains a missing trailer.
func (p *Process) lost() error {
	code, stderr := p.cmd.ProcessState.ExitCode(), p.report.text()
	cause := p.at.diagnose(code, stderr)
	if cause == nil {
		cause = problem.New(problem.Failed, "the connection or the process was cut; try again",
			"the transport ended with %s %s", p.cmd.ProcessState, lastLine(stderr))
	}
	return &problem.Error{
		Kind: problem.KindOf(cause), Op: "run " + p.name, Target: "on " + p.at.String(),
		Cause: fmt.Errorf("%w: %w", ErrNoTrailer, cause), Hint: problem.HintOf(cause),
	}
}
