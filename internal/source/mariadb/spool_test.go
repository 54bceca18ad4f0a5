package mariadb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"
)

func randomBytes(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSpoolPassesEveryByte(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 7} {
		want := randomBytes(n)
		sources := map[string]io.Reader{
			"whole": bytes.NewReader(want),
			"half":  iotest.HalfReader(bytes.NewReader(want)),
			"eof":   iotest.DataErrReader(bytes.NewReader(want)),
		}
		for name, src := range sources {
			got, err := io.ReadAll(newSpool(src, chunkSize, 4*chunkSize))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: got %d bytes, %v", name, n, len(got), err)
			}
		}
	}
}

func TestSpoolReportsTheProducersErrorAfterItsBytes(t *testing.T) {
	boom := errors.New("cut")
	src := io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(boom))
	got, err := io.ReadAll(newSpool(src, chunkSize, chunkSize))
	if string(got) != "abc" || !errors.Is(err, boom) {
		t.Errorf("got %q, %v; want abc and the producer's error", got, err)
	}
}

// endless tells how many bytes were asked of it, until it is stopped.
type endless struct {
	got  chan int
	stop chan struct{}
}

func (e endless) Read(p []byte) (int, error) {
	select {
	case e.got <- len(p):
		return len(p), nil
	case <-e.stop:
		return 0, io.EOF
	}
}

// settle receives until nothing comes for a while, and returns the sum.
func settle(c <-chan int) (sum int) {
	for {
		select {
		case n := <-c:
			sum += n
		case <-time.After(100 * time.Millisecond):
			return sum
		}
	}
}

func TestSpoolReadsAheadNoFurtherThanItsLimit(t *testing.T) {
	src := endless{make(chan int), make(chan struct{})}
	s := newSpool(src, 2*chunkSize, 8*chunkSize)
	defer s.Close()
	defer close(src.stop)
	if got := settle(src.got); got != 2*chunkSize {
		t.Errorf("read ahead %d bytes before widen, want %d", got, 2*chunkSize)
	}
	s.widen()
	if got := settle(src.got); got != 6*chunkSize {
		t.Errorf("read ahead %d more bytes after widen, want %d", got, 6*chunkSize)
	}
	if s.peak() != 8*chunkSize {
		t.Errorf("peak %d, want %d", s.peak(), 8*chunkSize)
	}
}

func TestSpoolCloseFreesBothSides(t *testing.T) {
	r, w := io.Pipe()
	s := newSpool(r, chunkSize, chunkSize)
	done := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		done <- err
	}()
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
	w.Close()
	<-closed
}

func BenchmarkSpool(b *testing.B) {
	b.SetBytes(64 << 20)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		s := newSpool(io.LimitReader(zeros{}, 64<<20), smallSpool, largeSpool)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
