// Package s3proxy stands between a client of S3 and its store, on loopback, and does to requests what networks and stores do on a
// bad day. A seed makes the same dice fall again.
package s3proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"holdfast/internal/s3"
)

// Faults are the shares of requests, 0 to 1, that meet with something.
type Faults struct {
	Errors    float64 // answered by 500
	Throttles float64 // answered by 503 SlowDown
	Resets    float64 // cut off in the middle of a body
	Corrupt   float64 // of the bodies that are read: one byte is flipped
	Truncate  float64 // of the bodies that are written: half of it arrives, and the answer is 200
	Slow      float64 // kept waiting for up to SlowUpTo
	SlowUpTo  time.Duration
	Latency   time.Duration // of every request
}

// Refusal is an answer of the store: a status and a code, "" for none.
type Refusal struct {
	Status int
	Code   string
}

// Proxy listens until Close.
type Proxy struct {
	URL string
	// Store writes an object in the place of a client, for uploads that are truncated. Headers are those of the client's request.
	Store func(ctx context.Context, path string, headers http.Header, body []byte) error

	server *http.Server
	relay  *httputil.ReverseProxy

	mu     sync.Mutex
	dice   *rand.Rand
	faults Faults
	refuse func(*http.Request) Refusal
	seen   map[string]int
}

// Listen puts a proxy before the store at target.
func Listen(target string, seed uint64) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("put a proxy before %s: %w", target, err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("put a proxy before %s: %w", target, err)
	}
	p := &Proxy{URL: "http://" + ln.Addr().String(), dice: rand.New(rand.NewPCG(seed, seed)), seen: map[string]int{}}
	p.relay = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // which is signed
		},
		Transport:      &http.Transport{DialContext: s3.Dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
		ModifyResponse: p.spoil,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go p.server.Serve(ln)
	return p, nil
}

// Close ends the proxy and every request in it.
func (p *Proxy) Close() error { return p.server.Close() }

// Set gives the faults from now on.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Refuse has each request judged before it is passed on; nil passes all.
func (p *Proxy) Refuse(judge func(*http.Request) Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = judge
}

// Seen is how often each thing was done: "requests", "errors", "throttles", "resets", "corrupt", "truncate", "slow", "refusals".
func (p *Proxy) Seen(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[what]
}

// roll decides whether a thing happens that happens to a share of requests.
func (p *Proxy) roll(what string, share func(Faults) float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := share(p.faults); s == 0 || p.dice.Float64() >= s {
		return false
	}
	p.seen[what]++
	return true
}

// ServeHTTP passes a request on, or does worse.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	faults, refusal := p.enter(r)
	time.Sleep(faults.Latency)
	if p.roll("slow", func(f Faults) float64 { return f.Slow }) {
		time.Sleep(p.part(faults.SlowUpTo))
	}
	upload := r.Method == http.MethodPut && r.ContentLength > 0
	switch {
	case refusal.Status != 0:
		answer(w, r, refusal)
	case p.roll("errors", func(f Faults) float64 { return f.Errors }):
		answer(w, r, Refusal{http.StatusInternalServerError, "InternalError"})
	case p.roll("throttles", func(f Faults) float64 { return f.Throttles }):
		answer(w, r, Refusal{http.StatusServiceUnavailable, "SlowDown"})
	case upload && p.roll("resets", func(f Faults) float64 { return f.Resets }):
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	case upload && p.Store != nil && p.roll("truncate", func(f Faults) float64 { return f.Truncate }):
		p.truncate(w, r)
	default:
		p.relay.ServeHTTP(w, r)
	}
}

func (p *Proxy) enter(r *http.Request) (Faults, Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen["requests"]++
	var refusal Refusal
	if p.refuse != nil {
		if refusal = p.refuse(r); refusal.Status != 0 {
			p.seen["refusals"]++
		}
	}
	return p.faults, refusal
}

func (p *Proxy) part(most time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.dice.Int64N(int64(most) + 1))
}

func answer(w http.ResponseWriter, r *http.Request, refusal Refusal) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(refusal.Status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code></Error>`, refusal.Code)
	}
}

// spoil does to the bodies of answers what the dice say.
func (p *Proxy) spoil(resp *http.Response) error {
	if resp.Request.Method != http.MethodGet || resp.StatusCode >= 300 || resp.ContentLength <= 0 {
		return nil
	}
	switch {
	case p.roll("resets", func(f Faults) float64 { return f.Resets }):
		resp.Body = &spoiled{ReadCloser: resp.Body, at: resp.ContentLength / 2, cut: true}
	case p.roll("corrupt", func(f Faults) float64 { return f.Corrupt }):
		resp.Body = &spoiled{ReadCloser: resp.Body, at: resp.ContentLength / 2}
	}
	return nil
}

// spoiled is a body that ends, or has a wrong byte, at a place.
type spoiled struct {
	io.ReadCloser
	at  int64
	cut bool
}

var errCut = errors.New("cut off")

func (s *spoiled) Read(b []byte) (int, error) {
	if s.cut {
		if s.at <= 0 {
			return 0, errCut
		}
		b = b[:min(int64(len(b)), s.at)]
	}
	n, err := s.ReadCloser.Read(b)
	if !s.cut && s.at >= 0 && s.at < int64(n) {
		b[s.at] ^= 0x10
	}
	s.at -= int64(n)
	return n, err
}

// truncate writes half of a body in the client's place, and says that all is well.
func (p *Proxy) truncate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
			body = unchunk(body)
		}
		err = p.Store(r.Context(), r.URL.Path, r.Header, body[:len(body)/2])
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusOK)
}

// unchunk returns what a body holds whose parts are each signed.
func unchunk(body []byte) (data []byte) {
	for len(body) > 0 {
		head, rest, _ := bytes.Cut(body, []byte("\r\n"))
		size, _, _ := bytes.Cut(head, []byte(";"))
		var n int
		if _, err := fmt.Sscanf(string(size), "%x", &n); err != nil || n == 0 || n > len(rest) {
			return data
		}
		data = append(data, rest[:n]...)
		body = bytes.TrimPrefix(rest[n:], []byte("\r\n"))
	}
	return data
}
