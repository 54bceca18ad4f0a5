package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// private are the options of every server of a drill: what could reach others or be reached by them is off, what it remembers
// is small, and nothing waits for a disk, since nothing of it stays.
var private = []string{
	"--skip-networking", "--loose-wsrep-on=OFF", "--loose-wsrep-provider=none", "--event-scheduler=OFF", "--skip-log-bin", "--skip-slave-start",
	"--skip-name-resolve", "--local-infile=OFF", "--loose-performance-schema=OFF", "--character-set-server=utf8mb4", "--max-allowed-packet=1G",
	"--innodb-buffer-pool-size=128M", "--loose-innodb-log-file-size=64M", "--key-buffer-size=8M", "--aria-pagecache-buffer-size=16M",
	"--innodb-flush-log-at-trx-commit=0", "--loose-innodb-doublewrite=OFF", "--loose-innodb-flush-method=nosync", "--loose-innodb-use-native-aio=0",
	"--loose-innodb-stats-auto-recalc=OFF", "--loose-innodb-buffer-pool-load-at-startup=OFF", "--loose-innodb-buffer-pool-dump-at-shutdown=OFF", "--loose-debug-no-sync",
}

// patience is how long a server may take to answer: it may have to recover.
const patience = 20 * time.Minute

// where are the options that keep a server's files in the directory of a part.
func (p *part) where() []string {
	home := p.programs.home(p.dir)
	return []string{"--datadir=" + home + "/data", "--tmpdir=" + home + "/tmp", "--socket=" + home + "/s", "--pid-file=" + home + "/pid"}
}

// owned makes a directory of the part that belongs to the server's user.
func (p *part) owned(name string) error {
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil || os.Geteuid() != 0 {
		return err
	}
	return errors.Join(os.Chown(dir, int(p.programs.uid), int(p.programs.gid)), os.Chown(p.dir, int(p.programs.uid), int(p.programs.gid)))
}

// program runs one of the programs in the part's directory as the server's user, and returns what it said.
func (p *part) program(use string, args ...string) (string, error) {
	var said strings.Builder
	p.ran++
	c := p.programs.command(p.dir, fmt.Sprintf("%s-%d", p.container(), p.ran), append([]string{p.programs.names[use]}, args...)...)
	c.OnStderr = func(line string) { fmt.Fprintln(&said, line) }
	stay, end := io.Pipe()
	defer end.Close()
	if p.programs.image != nil {
		c.Stdin = stay
	}
	out, err := host.Output(p.ctx, host.Local{}, c)
	return string(out) + said.String(), err
}

// tool is program for one of several at once: it is not recorded, since it ends by itself.
func (p *part) tool(use string, args ...string) (string, error) {
	p.tools.Lock()
	defer p.tools.Unlock()
	return p.program(use, args...)
}

// container is the name of the one that the server runs in, if it does.
func (p *part) container() string {
	return "holdfast-drill-" + strings.ToLower(p.run.result.ID) + "-" + p.name
}

// serve starts the server and waits until it answers. It lives until the part ends.
func (p *part) serve(defaults string, options ...string) error {
	args := []string{p.programs.names["server"], defaults}
	args = append(append(append(args, p.where()...), private...), options...)
	args = append(args, "--log-error="+p.programs.home(p.dir)+"/error.log")
	c := p.programs.command(p.dir, p.container(), args...)
	stay, end := io.Pipe()
	if p.programs.image != nil {
		c.Stdin = stay
	}
	proc, err := host.Local{}.Start(p.ctx, c)
	if err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func() {
		p.exit = proc.Wait()
		end.Close()
		close(p.ended)
	}()
	return p.await()
}

// await asks the server until it answers.
func (p *part) await() error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if _, err := p.connect(p.admin).Query(p.ctx, "SELECT 1"); err == nil {
			return nil
		}
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-p.ended:
			if !exists(filepath.Join(p.dir, "error.log")) {
				return problem.New(problem.Failed, "see whether this host lets it run", "mariadbd ended before it began: %s", p.lastWords())
			}
			return differs{point.DrillFinding{What: "server", Name: p.component.Name, Text: fmt.Sprintf("mariadbd does not start on it: %s", p.lastWords())}}
		case <-limit.C:
			return problem.New(problem.Failed, "drill again when the machine is less busy", "mariadbd does not answer after %s: %s", patience, p.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lastWords are the errors that the server has logged, or how it ended.
func (p *part) lastWords() string {
	log, _ := os.ReadFile(filepath.Join(p.dir, "error.log")) // without it there is nothing to tell
	var errs []string
	for line := range strings.Lines(string(log)) {
		if _, text, ok := strings.Cut(line, "[ERROR] "); ok {
			errs = append(errs, strings.TrimSpace(text))
		}
	}
	select {
	case <-p.ended:
		if len(errs) == 0 && p.exit != nil {
			return p.exit.Error()
		}
	default:
	}
	return strings.Join(errs[:min(len(errs), 3)], "; ")
}

// connect returns a way to run statements on the part's server.
func (p *part) connect(l mariadb.Login) *mariadb.Conn {
	s := mariadb.Private{Name: "the drill's server", Host: inDir{host.Local{}, p.dir}, Socket: "./s", Client: p.programs.names["client"], Dump: p.programs.names["dump"]}
	if i := p.programs.image; i != nil {
		s.Host, s.Socket = host.Container{On: host.Local{}, Engine: i.Engine, Name: p.container(), Enter: host.EnterExec}, "/drill/s"
	}
	return s.Connect(l)
}

// inDir is a host whose commands begin in a directory: the path of a socket that begins there is short enough, wherever it is.
type inDir struct {
	host.Host
	dir string
}

func (h inDir) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	c.Dir = h.dir
	return h.Host.Start(ctx, c)
}

// differs is an error that is a finding: the copy cannot be used further.
type differs struct{ point.DrillFinding }

func (d differs) Error() string { return d.What + " " + d.Name + ": " + d.Text }
