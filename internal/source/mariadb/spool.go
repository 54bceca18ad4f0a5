package mariadb

import (
	"io"
	"sync"
)

// Sizes of the buffer between a backup and the vault.
const (
	chunkSize   = 256 << 10
	smallSpool  = 8 << 20   // while the server is not locked, a slow vault slows the reader down
	largeSpool  = 256 << 20 // from BLOCK_DDL on, so that a slow vault does not hold the server's locks
	spareChunks = smallSpool / chunkSize
)

// spool is a buffer between a producer that holds locks and a consumer that may be slow. It reads ahead of its consumer
// up to a limit, which widen raises; the memory it holds beyond the small limit is given back as it drains.
type spool struct {
	mu     sync.Mutex
	change sync.Cond // something was filled, drained, widened or closed
	full   []*chunk  // in order; the last one may still grow
	held   int       // bytes in full, not yet read
	most   int       // the largest held so far
	limit  int
	large  int
	spare  []*chunk
	err    error // what ended the producer, io.EOF for its proper end
	closed bool
	done   chan struct{} // closed when nobody reads the producer any more
}

// chunk holds buf[r:w]; the producer appends behind w, the consumer takes from r.
type chunk struct {
	buf  [chunkSize]byte
	r, w int
}

// newSpool starts to read src ahead, up to small bytes until widen allows large ones.
func newSpool(src io.Reader, small, large int) *spool {
	s := &spool{limit: small, large: large, done: make(chan struct{})}
	s.change.L = &s.mu
	go s.pump(src)
	return s
}

// widen lets the spool read ahead up to its large limit from now on.
func (s *spool) widen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = s.large
	s.change.Broadcast()
}

// widenOn widens when the event happens, and gives up when the producer ends first.
func (s *spool) widenOn(event <-chan struct{}) {
	select {
	case <-event:
		s.widen()
	case <-s.done:
	}
}

// ended reports whether the producer came to its end, be it a good or a bad one.
func (s *spool) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// peak returns the largest number of bytes that ever waited.
func (s *spool) peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Close gives up what still waits and returns when the producer's stream is not read any more: at its next byte or end.
func (s *spool) Close() {
	s.mu.Lock()
	s.closed = true
	s.full, s.spare, s.held = nil, nil, 0
	s.change.Broadcast()
	s.mu.Unlock()
	<-s.done
}

// Read takes what waits, or waits for more.
func (s *spool) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held == 0 && s.err == nil && !s.closed {
		s.change.Wait()
	}
	switch {
	case s.closed:
		return 0, io.ErrClosedPipe
	case s.held == 0:
		return 0, s.err
	}
	n := s.take(p)
	s.change.Broadcast()
	return n, nil
}

// take copies waiting bytes into p.
func (s *spool) take(p []byte) (n int) {
	for n < len(p) && s.held > 0 {
		c := s.full[0]
		k := copy(p[n:], c.buf[c.r:c.w])
		c.r, n, s.held = c.r+k, n+k, s.held-k
		if c.r < chunkSize {
			continue
		}
		s.full[0] = nil
		s.full = s.full[1:]
		if len(s.spare) < spareChunks {
			c.r, c.w = 0, 0
			s.spare = append(s.spare, c)
		}
	}
	return n
}

// pump fills chunks from src until it ends or the spool is closed.
func (s *spool) pump(src io.Reader) {
	defer close(s.done)
	for {
		c, room := s.tail()
		if c == nil {
			return
		}
		n, err := src.Read(room)
		if !s.filled(c, n, err) {
			return
		}
	}
}

// tail waits for room and returns it: the end of the last chunk, which nobody else touches, or a new chunk.
func (s *spool) tail() (*chunk, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held >= s.limit && !s.closed {
		s.change.Wait()
	}
	if s.closed {
		return nil, nil
	}
	if n := len(s.full); n > 0 && s.full[n-1].w < chunkSize {
		c := s.full[n-1]
		return c, c.buf[c.w:]
	}
	c := &chunk{}
	if n := len(s.spare); n > 0 {
		c, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	s.full = append(s.full, c)
	return c, c.buf[:]
}

// filled publishes n bytes of c and the producer's end, and reports whether there may be more.
func (s *spool) filled(c *chunk, n int, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.w += n
	s.held += n
	s.most = max(s.most, s.held)
	if err != nil {
		s.err = err
	}
	s.change.Broadcast()
	return err == nil && !s.closed
}
