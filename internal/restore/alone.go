package restore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path"
	"strconv"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// lockPatience is how long a restore waits for the lock of one that was killed, whose commands are ended on their machine within
// seconds; releaseTime is how long for its own to be let go of.
var lockPatience = 15 * time.Second

const releaseTime = 10 * time.Second

// aloneScript locks the directory that holds the datadir, where no file need stay behind, as long as its input is open.
const aloneScript = `exec flock --wait "$2" --conflict-exit-code 75 "$1" sh -c 'echo alone; exec cat >/dev/null'`

// alone makes sure that no other restore works on the first node's datadir until release is called, or this process is gone.
func (k *Cluster) alone(ctx context.Context) (release func(), err error) {
	n, p := k.o.Nodes[0], k.places[0]
	// It outlives ctx, so that what an interrupted restore takes away again is still its own.
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	impatient := context.AfterFunc(ctx, cancel)
	input, open := io.Pipe()
	process, err := n.Machine.Start(held, host.Cmd{Args: []string{"sh", "-c", aloneScript, "holdfast", path.Dir(p.datadir), strconv.Itoa(int(lockPatience.Seconds()))}, Name: "flock", Stdin: input})
	if err != nil {
		cancel()
		return nil, err
	}
	release = func() {
		give := time.AfterFunc(releaseTime, cancel)
		defer give.Stop()
		_ = open.Close()
		_ = process.Wait()
		cancel()
	}
	if said := bufio.NewScanner(process.Stdout()); said.Scan() && impatient() {
		return release, nil
	}
	_ = open.Close()
	err = process.Wait()
	cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 75 {
		return nil, problem.New(problem.Busy, "wait until it has ended", "another restore works on the datadir of %s, %s", n.Name, p.datadir)
	}
	return nil, problem.Wrap(err, "make sure that no other restore works on", n.Name)
}
