package kolla

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/problem"
)

const (
	// probeTimeout bounds how long a host may take to answer once it is connected to. One that does not answer at all
	// is given up by ssh after 10 seconds.
	probeTimeout  = 30 * time.Second
	probeParallel = 8 // hosts asked at once
)

// answer is what a host said when it was asked whether it can be captured.
type answer struct {
	err     error
	root    bool // commands run as root there
	latency time.Duration
}

// probeAll asks all hosts at once.
func probeAll(ctx context.Context, hosts []*inventory.Host) []answer {
	answers := make([]answer, len(hosts))
	slots := make(chan struct{}, probeParallel)
	var wg sync.WaitGroup
	for i, h := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = probe(ctx, h)
		})
	}
	wg.Wait()
	return answers
}

// probeScript fails without GNU tar, the only one that keeps attributes and tells by name what it could not read.
const probeScript = `case $(tar --version 2>/dev/null) in
*"GNU tar"*) exec id -u ;;
esac
echo "no GNU tar" >&2
exit 3`

func probe(ctx context.Context, h *inventory.Host) (a answer) {
	if strings.ContainsAny(h.Name, "/\x00") {
		return answer{err: problem.New(problem.Usage, "rename it in the inventory", "the name %q cannot be a component", h.Name)}
	}
	at, err := h.Connect()
	if err != nil {
		return answer{err: err}
	}
	late := problem.New(problem.Failed, "check that it is up and that no firewall stands between", "no answer within %s", probeTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, late)
	defer cancel()
	began := time.Now()
	out, err := host.Output(ctx, at, host.Cmd{Args: []string{"sh", "-c", probeScript, "probe"}})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 3 {
		err = problem.New(problem.Failed, "install GNU tar on "+h.Name, "%s has no GNU tar", h.Name)
	}
	return answer{err: err, root: strings.TrimSpace(string(out)) == "0", latency: time.Since(began)}
}
