package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const token = "0123456789abcdef"

// start serves content on loopback and returns its base URL and what could not be read.
func start(t *testing.T, what Content) (string, func() []error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var failed []error
	s := Start(l, token, what, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	})
	t.Cleanup(s.Close)
	return "http://" + l.Addr().String(), func() []error {
		mu.Lock()
		defer mu.Unlock()
		return failed
	}
}

func ask(t *testing.T, method, url, span string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if span != "" {
		r.Header.Set("Range", span)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestRangesAndLengths(t *testing.T) {
	data := make([]byte, 5<<20)
	for n := range data {
		data[n] = byte(rand.Uint32())
	}
	base, failed := start(t, bytes.NewReader(data))
	res, _ := ask(t, "HEAD", base+"/"+token, "")
	if res.StatusCode != http.StatusOK || res.ContentLength != int64(len(data)) {
		t.Errorf("HEAD: %s, %d bytes", res.Status, res.ContentLength)
	}
	for _, c := range []struct {
		span        string
		first, last int
	}{
		{"bytes=0-0", 0, 0}, {"bytes=7-4096", 7, 4096}, {fmt.Sprintf("bytes=100-%d", 100+MostRange-1), 100, 100 + MostRange - 1},
		{"bytes=5242879-5242879", 5242879, 5242879}, {"bytes=5242000-9000000", 5242000, 5242879},
	} {
		res, body := ask(t, "GET", base+"/"+token, c.span)
		want := fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, len(data))
		if res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != want || !bytes.Equal(body, data[c.first:c.last+1]) {
			t.Errorf("%s: %s, %q, %d bytes", c.span, res.Status, res.Header.Get("Content-Range"), len(body))
		}
	}
	if failed() != nil {
		t.Errorf("failed: %v", failed())
	}
}

// TestNothingElseIsAnswered asks without the token, for other things, and for more than one answer holds.
func TestNothingElseIsAnswered(t *testing.T) {
	base, _ := start(t, bytes.NewReader(make([]byte, 8<<20)))
	for _, c := range []struct {
		method, path, span string
		want               int
	}{
		{"GET", "/", "bytes=0-1", 404}, {"GET", "", "bytes=0-1", 404}, {"HEAD", "/", "", 404}, {"GET", "/" + token + "/", "bytes=0-1", 404},
		{"GET", "/" + token[1:], "bytes=0-1", 404}, {"GET", "/" + strings.ToUpper(token), "bytes=0-1", 404}, {"GET", "/favicon.ico", "", 404},
		{"GET", "/x/../" + token + "x", "", 404}, {"PUT", "/" + token, "", 405}, {"POST", "/" + token, "", 405}, {"DELETE", "/" + token, "", 405},
		{"GET", "/" + token, "", 416}, {"GET", "/" + token, "bytes=0-", 416}, {"GET", "/" + token, "bytes=-5", 416},
		{"GET", "/" + token, "bytes=5-4", 416}, {"GET", "/" + token, "bytes=0-1,4-5", 416}, {"GET", "/" + token, "lines=0-1", 416},
		{"GET", "/" + token, "bytes=8388608-8388609", 416}, {"GET", "/" + token, "bytes=0-4194304", 416},
		{"GET", "/" + token, "bytes=99999999999999999999-1", 416}, {"GET", "/" + token, "bytes=0-9223372036854775807", 416},
	} {
		res, body := ask(t, c.method, base+c.path, c.span)
		if res.StatusCode != c.want || len(body) > 0 || !res.Close {
			t.Errorf("%s %s %s: %s, %d bytes, hangs up: %v", c.method, c.path, c.span, res.Status, len(body), res.Close)
		}
	}
}

type broken struct{ *bytes.Reader }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 1000 {
		return len(p) / 2, errors.New("damaged")
	}
	return b.Reader.ReadAt(p, off)
}

func TestWhatCannotBeReadIsAnErrorOfTheServer(t *testing.T) {
	base, failed := start(t, broken{bytes.NewReader(make([]byte, 1<<20))})
	if res, body := ask(t, "GET", base+"/"+token, "bytes=500-1500"); res.StatusCode != http.StatusInternalServerError || len(body) > 0 {
		t.Errorf("%s, %d bytes", res.Status, len(body))
	}
	if len(failed()) != 1 || !strings.Contains(failed()[0].Error(), "damaged") {
		t.Errorf("told: %v", failed())
	}
	if res, body := ask(t, "GET", base+"/"+token, "bytes=0-999"); res.StatusCode != http.StatusPartialContent || len(body) != 1000 {
		t.Errorf("what can be read: %s, %d bytes", res.Status, len(body))
	}
}

// TestCloseFreesTheAddress serves at the same address again at once, while a client keeps its connection.
func TestCloseFreesTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s := Start(l, token, bytes.NewReader([]byte("0123456789")), func(err error) { t.Error(err) })
		if _, body := ask(t, "GET", "http://"+l.Addr().String()+"/"+token, "bytes=2-4"); string(body) != "234" {
			t.Errorf("answer %q", body)
		}
		s.Close()
		if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// slow counts reads, which take a moment.
type slow struct {
	*bytes.Reader
	reads atomic.Int64
	fail  atomic.Bool
}

func (s *slow) ReadAt(p []byte, off int64) (int, error) {
	s.reads.Add(1)
	time.Sleep(time.Millisecond)
	if s.fail.Load() {
		return 0, io.ErrClosedPipe
	}
	return s.Reader.ReadAt(p, off)
}

func TestCacheReadsABlockOnce(t *testing.T) {
	data := make([]byte, 10*block+1234)
	for n := 0; n < len(data); n += 512 {
		data[n] = byte(rand.Uint32())
	}
	from := &slow{Reader: bytes.NewReader(data)}
	c := NewCache(from, int64(len(data)))
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 4))
			for range 200 {
				p, off := make([]byte, r.IntN(block+block/2)), r.IntN(len(data)+10)
				n, err := c.ReadAt(p, int64(off))
				want := data[min(off, len(data)):min(off+len(p), len(data))]
				if !bytes.Equal(p[:n], want) || (n < len(p)) != (err == io.EOF) {
					t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
				}
			}
		})
	}
	wg.Wait()
	if n := from.reads.Load(); n != 11 {
		t.Errorf("%d reads of 11 blocks", n)
	}
}

func TestCacheIsBoundedAndForgetsFailures(t *testing.T) {
	from := &slow{Reader: bytes.NewReader(make([]byte, (blocks+20)*block))}
	c := NewCache(from, from.Size())
	p := make([]byte, 1)
	for n := range int64(blocks + 20) {
		if _, err := c.ReadAt(p, n*block); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.held) != blocks || len(c.used) != blocks {
		t.Errorf("%d blocks held, %d in the list", len(c.held), len(c.used))
	}
	from.fail.Store(true)
	if _, err := c.ReadAt(p, 0); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a block that fails: %v", err)
	}
	from.fail.Store(false)
	if _, err := c.ReadAt(p, 0); err != nil {
		t.Errorf("the same later: %v", err)
	}
}
