package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/job"
)

// ErrNone is told when no daemon works.
var ErrNone = errors.New("no daemon is there")

// Client speaks to the daemon.
type Client struct{ http http.Client }

// patience is how long a daemon that is well takes to answer at most.
const patience = 15 * time.Second

// Connect finds the daemon at a socket.
func Connect(socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		short, done, err := reach(socket)
		if err != nil {
			return nil, err
		}
		defer done()
		return (&net.Dialer{}).DialContext(ctx, "unix", short)
	}
	if _, err := os.Stat(socket); err != nil {
		return nil, ErrNone
	}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, ErrNone
	}
	conn.Close()
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: patience}}}, nil
}

// Queue tells what the daemon does and is about to do.
func (c *Client) Queue(ctx context.Context) (q Queue, err error) {
	return q, c.call(ctx, "GET", "/queue", nil, &q)
}

// Results tells what came of the newest steps, oldest first.
func (c *Client) Results(ctx context.Context, most int) (all []job.Result, err error) {
	return all, c.call(ctx, "GET", "/results?most="+strconv.Itoa(most), nil, &all)
}

// Overview is what the daemon knows of what is protected; nil when it knows nothing yet.
func (c *Client) Overview(ctx context.Context) (o *coverage.Overview, err error) {
	return o, c.call(ctx, "GET", "/overview", nil, &o)
}

// Run queues a job and returns its run.
func (c *Client) Run(ctx context.Context, name string) (string, error) {
	var made struct {
		Run string `json:"run"`
	}
	err := c.call(ctx, "POST", "/run?job="+url.QueryEscape(name), nil, &made)
	return made.Run, err
}

// Cancel stops a run, or takes it out of the queue.
func (c *Client) Cancel(ctx context.Context, run string) error {
	return c.call(ctx, "POST", "/cancel?run="+url.QueryEscape(run), nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var r refusal
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			return fmt.Errorf("the daemon answered %s", resp.Status)
		}
		return r.problem()
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var data bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&data).Encode(body); err != nil {
			return nil, fmt.Errorf("ask the daemon: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, &data)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	return resp, nil
}

// Held is the turn of this command.
type Held struct {
	Run    string
	client *Client
	close  func()
}

// Turn waits until it is this command's turn; behind is told what it waits for. The turn is held as long as this process lives, or
// until End. When an operator cancels it cancel is called. A daemon that is gone gives ErrNone.
func (c *Client) Turn(ctx context.Context, ask Ask, behind func(string), cancel func()) (*Held, error) {
	turn, stop := context.WithCancel(context.WithoutCancel(ctx)) // what was had is given back by End
	unwait := context.AfterFunc(ctx, stop)
	resp, err := c.do(turn, "POST", "/turn", ask)
	if err != nil {
		stop()
		return nil, errors.Join(ErrNone, err)
	}
	lines := json.NewDecoder(bufio.NewReader(resp.Body))
	end := func() { stop(); resp.Body.Close() }
	for {
		var l line
		if err := lines.Decode(&l); err != nil {
			end()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, errors.Join(ErrNone, err)
		}
		switch {
		case l.Failed != nil:
			end()
			return nil, l.Failed.problem()
		case l.Run != "":
			unwait()
			go watch(lines, cancel)
			return &Held{Run: l.Run, client: c, close: end}, nil
		case l.Behind != "":
			behind(l.Behind)
		}
	}
}

// watch reads what the daemon says while the command works.
func watch(lines *json.Decoder, cancel func()) {
	for {
		var l line
		if lines.Decode(&l) != nil {
			return // the turn has ended, or the daemon has; the command goes on
		}
		if l.Cancel {
			cancel()
		}
	}
}

// End tells the daemon what came of the command, and gives the turn back.
func (h *Held) End(ctx context.Context, res job.Result) error {
	defer h.close()
	return h.client.call(context.WithoutCancel(ctx), "POST", "/end?run="+url.QueryEscape(h.Run), res, nil)
}
