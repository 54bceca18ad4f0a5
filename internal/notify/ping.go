package notify

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"holdfast/internal/config"
)

// pingName is the box in which the outcome of pings is counted. They are not kept: a dead man's switch that hears nothing alarms,
// which is what it is for.
const pingName = "ping"

// stalePing is after how long a ping is of no use any more.
const stalePing = 30 * time.Minute

// pings tell a dead man's switch when jobs begin and how they end.
type pings struct {
	t   *Teller
	cfg *config.Ping

	mu    sync.Mutex
	queue []ping // oldest first
	tries int
	next  time.Time
}

type ping struct {
	job    string
	suffix string // /start, /fail or none
	text   string
	at     time.Time
}

func newPings(t *Teller) *pings { return &pings{t: t, cfg: t.cfg.Ping} }

// begin tells that a job begins.
func (p *pings) begin(jobName string) {
	if p.cfg == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push(ping{job: jobName, suffix: "/start"})
}

// end tells how a job ended.
func (p *pings) end(jobName, run string) {
	if p.cfg == nil {
		return
	}
	x := ping{job: jobName}
	p.t.update(func(s *state) {
		if failed, ok := s.Runs[run]; ok {
			x.suffix, x.text = "/fail", failed.Step+": "+failed.Text
		}
		delete(s.Runs, run)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push(x)
}

// push queues a ping in the place of what the same address would be told and was not yet.
func (p *pings) push(x ping) {
	x.at = p.t.now()
	var rest []ping
	for _, o := range p.queue {
		if p.cfg.For(o.job) != p.cfg.For(x.job) || o.suffix == "/fail" && x.job != o.job {
			rest = append(rest, o)
		}
	}
	p.queue, p.next = append(rest, x), time.Time{}
}

// deliver sends what is due, and returns when there is more to do.
func (p *pings) deliver(ctx context.Context, now bool) time.Duration {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return longestSleep
		}
		x, wait := p.queue[0], p.next.Sub(p.t.now())
		p.mu.Unlock()
		if wait > 0 && wait <= mostWait && !now {
			return wait
		}
		if ctx.Err() != nil {
			return longestSleep
		}
		if wait = p.settle(x, p.send(ctx, x)); wait > 0 {
			return wait
		}
	}
}

// settle takes a ping that was sent, or is too old, out of the queue, and returns when the next try is due.
func (p *pings) settle(x ping, err error) (wait time.Duration) {
	now := p.t.now()
	p.t.update(func(s *state) {
		b := s.box(pingName)
		wait = b.settle(err, p.t.tellable(err), now, false)
		b.Sealed = nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = now.Add(wait)
	if len(p.queue) > 0 && p.queue[0] == x && (err == nil || now.Sub(x.at) > stalePing) {
		p.queue = p.queue[1:]
	}
	return wait
}

func (p *pings) send(ctx context.Context, x ping) error {
	a := p.cfg.For(x.job)
	if a.IsZero() {
		return nil
	}
	base, err := p.t.address(ctx, a, "URL of the ping")
	if err != nil {
		return err
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return errNoPing
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + x.suffix
	ctx, cancel := context.WithTimeout(ctx, webTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(p.t.clean(x.text)))
	if err != nil {
		return errNoPing
	}
	r.Header.Set("User-Agent", "holdfast")
	return p.t.request(r, "")
}
