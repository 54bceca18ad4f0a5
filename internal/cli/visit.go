package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/source"
)

const (
	visitTimeout  = 15 * time.Second
	visitParallel = 8
	// slowVisit is the round trip from which a clock is read once more, over the connection that then stands.
	slowVisit = time.Second

	clockWarn = 2 * time.Second
	clockFail = time.Minute
)

// visit is what one short look at a host tells.
type visit struct {
	name string
	node bool // it is part of the cloud, beside deploying it
	err  error
	// machine tells one machine from another: its id and its name, since cloned machines share the former.
	machine string
	ahead   time.Duration // of its clock before the one here
	trip    time.Duration // from asking to its answer; ahead is known to half of that
}

// visitAll looks at this host, which comes first, and at all of the inventory.
func visitAll(ctx context.Context, inv *inventory.Inventory) []visit {
	visits := make([]visit, 1+len(inv.Hosts))
	visits[0] = look(ctx, "this host", host.Local{})
	each := make([]func(), len(inv.Hosts))
	for i, h := range inv.Hosts {
		each[i] = func() {
			where, err := h.Connect()
			if err != nil {
				visits[1+i] = visit{name: h.Name, err: err}
				return
			}
			visits[1+i] = look(ctx, h.Name, where)
			visits[1+i].node = h.In("control", "network", "compute", "storage")
		}
	}
	atOnce(each)
	return visits
}

// atOnce runs all functions, a few at a time.
func atOnce(all []func()) {
	slots := make(chan struct{}, visitParallel)
	var wg sync.WaitGroup
	for _, do := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do()
		})
	}
	wg.Wait()
}

// look visits a host, and again if it answered too slowly to tell its time.
func look(ctx context.Context, name string, h host.Host) visit {
	v := lookOnce(ctx, name, h)
	if v.err == nil && v.trip > slowVisit {
		v = lookOnce(ctx, name, h)
	}
	return v
}

// lookOnce compares the host's clock with the middle of the time between the question and the first byte of the answer.
func lookOnce(ctx context.Context, name string, h host.Host) visit {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	cmd := host.Cmd{Args: []string{"sh", "-c", "date +%s.%N; cat /etc/machine-id 2>/dev/null; uname -n"}}
	var text []byte
	asked, answered := time.Now(), time.Time{}
	err := host.Stream(ctx, h, cmd, func(r io.Reader) (err error) {
		b := bufio.NewReader(r)
		b.Peek(1) // what went wrong, ReadAll tells
		answered = time.Now()
		text, err = io.ReadAll(b)
		return err
	})
	v := visit{name: name, err: err}
	if err != nil {
		return v
	}
	stamp, machine, _ := strings.Cut(string(text), "\n")
	clock, err := parseClock(stamp)
	v.machine, v.err, v.trip = machine, err, answered.Sub(asked)
	v.ahead = clock.Sub(asked.Add(v.trip / 2))
	return v
}

// parseClock reads seconds since 1970 and, where the host's date knows it, their fraction.
func parseClock(text string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	nanos, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil || len(fraction) != 9 {
		nanos = int64(time.Second / 2)
	}
	return time.Unix(seconds, nanos), nil
}

// checkPlace finds out whether this host is one of those that the vault must outlive. What could not be visited, the
// hosts' own checks tell.
func checkPlace(visits []visit) source.Check {
	if err := visits[0].err; err != nil {
		return failed("place", err)
	}
	var same []string
	for _, v := range visits[1:] {
		if v.node && v.err == nil && v.machine == visits[0].machine {
			same = append(same, v.name)
		}
	}
	if len(same) > 0 {
		return source.Check{
			Name: "place", Status: source.Fail, Detail: "this host is " + strings.Join(same, ", ") + ", a node of the cloud that it backs up",
			Mend: "run Holdfast on a host that does not share the cloud's fate, or let the vault lie on one",
		}
	}
	return passed("place", "this host is no node of the cloud")
}

// checkClocks compares the clocks of all hosts that told theirs in time.
func checkClocks(visits []visit) source.Check {
	told := slices.DeleteFunc(slices.Clone(visits), func(v visit) bool { return v.err != nil || v.trip > clockWarn })
	if len(told) < 2 {
		return source.Check{
			Name: "clocks", Status: source.Warn, Detail: fmt.Sprintf("%d of %d hosts told their time", len(told), len(visits)),
			Mend: "see what keeps the hosts from being asked",
		}
	}
	slices.SortStableFunc(told, func(a, b visit) int { return cmp.Compare(a.ahead, b.ahead) })
	apart := told[len(told)-1].ahead - told[0].ahead
	c := passed("clocks", "those of %d hosts differ by at most %.2f s", len(told), apart.Seconds())
	if len(told) < len(visits) {
		c.Detail += fmt.Sprintf("; %d hosts did not tell theirs", len(visits)-len(told))
	}
	if apart < clockWarn {
		return c
	}
	c.Status = source.Warn
	if apart >= clockFail {
		c.Status = source.Fail
	}
	wrong, names := astray(told)
	c.Detail = strings.Join(wrong, ", ") + "; " + c.Detail
	c.Mend = "set the clock of " + strings.Join(names, ", ") + " (chronyc makestep) and find out why its NTP client did not (chronyc tracking)"
	return c
}

// astray names the hosts whose clocks are far from the middle one of all, which stand in order.
func astray(told []visit) (tell, names []string) {
	middle := told[len(told)/2].ahead
	if low := told[(len(told)-1)/2].ahead; low.Abs() < middle.Abs() {
		middle = low
	}
	for _, v := range told {
		off, how := v.ahead-middle, "ahead"
		if off < 0 {
			off, how = -off, "behind"
		}
		if off >= clockWarn/2 {
			tell, names = append(tell, fmt.Sprintf("%s is %.1f s %s", v.name, off.Seconds(), how)), append(names, v.name)
		}
	}
	return tell, names
}
