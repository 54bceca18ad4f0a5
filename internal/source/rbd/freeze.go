package rbd

import (
	"bufio"
	"cmp"
	"context"
	_ "embed" // freeze.sh
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/rows"
)

//go:embed freeze.sh
var guard string

// starter runs the guard in a session of its own, and passes its own input on to it: the guard outlives what it was started
// by, and sees that it ended.
const starter = `for tool in setsid timeout; do
	command -v $tool >/dev/null || { echo "refused $tool is not there"; exit 3; }
done
cat | setsid sh -c "$0" guard "$@"`

// Freeze says which servers stand still while the snapshots of their images are taken.
type Freeze struct {
	// Those with an image that one of Include fits, if there are any, and none that one of Exclude may fit.
	Include, Exclude []config.Selector
	Timeout          time.Duration // after which a server goes on, whatever happens
	// Compute finds a compute by the name that Nova has for it, Computes all of them.
	Compute  func(name string) (Compute, error)
	Computes func() ([]Compute, error)
}

// Compute is a machine on which servers run.
type Compute struct {
	host.Host
	Virsh []string // how virsh is called there
}

// How long a compute may take to answer, and to let a server go on.
const (
	reachTime = 20 * time.Second
	thawTime  = 10 * time.Second
)

// still is a server that stands still until it is released, its time is up, or this process is gone.
type still struct {
	process *host.Process
	input   *io.PipeWriter
	said    *bufio.Scanner
	cancel  context.CancelFunc
	limit   time.Duration
}

// still makes a server stand still. The error says why it does not.
func (f *Freeze) still(ctx context.Context, server rows.Server) (*still, error) {
	on, err := f.Compute(server.Host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime+f.Timeout+thawTime)
	args := []string{"sh", "-c", starter, guard, server.ID, strconv.Itoa(int(f.Timeout.Seconds()))}
	r, w := io.Pipe()
	p, err := on.Start(ctx, host.Cmd{Args: append(args, on.Virsh...), Name: "virsh domfsfreeze", Stdin: r})
	if err != nil {
		cancel()
		return nil, err
	}
	s := &still{p, w, bufio.NewScanner(p.Stdout()), cancel, f.Timeout}
	switch said := s.line(); said {
	case "frozen":
		return s, nil
	case "late":
		err = fmt.Errorf("it did not stand still within %s", config.FormatDuration(f.Timeout))
	case "":
		return nil, cmp.Or(s.end(), errors.New("nothing came back"))
	default:
		err = errors.New(cmp.Or(strings.TrimSpace(strings.TrimPrefix(said, "refused")), "virsh failed and did not say why"))
	}
	go s.end() // the guard sees to it that it goes on, whether or not somebody waits
	return nil, err
}

func (s *still) line() string {
	s.said.Scan()
	return s.said.Text()
}

// end waits for the end of the command.
func (s *still) end() error {
	defer s.cancel()
	_ = s.input.Close()
	return s.process.Wait()
}

// release lets the server go on. Moved is "" if it stood still until now, else why that is not known or not so; an error says
// that nobody knows whether it goes on.
func (s *still) release() (moved string, err error) {
	give := time.AfterFunc(thawTime, s.process.Kill)
	defer give.Stop()
	_ = s.input.Close()
	switch s.line() {
	case "held":
	case "late":
		moved = "the snapshots were not there before it had to go on after " + config.FormatDuration(s.limit)
	default:
		moved = "its compute was lost before the snapshots were there"
	}
	thawed := s.line() == "thawed"
	if err := s.end(); !thawed {
		return moved, fmt.Errorf("no thaw was confirmed, which its compute goes on trying: %w", cmp.Or(err, context.DeadlineExceeded))
	}
	return moved, nil
}
