package serve

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// Memory that a cache takes, in bytes. Blocks are as large as the objects that most images consist of: what asks for a
// part of one asks for the rest next, and several are asked for in turns.
const (
	block  = 4 << 20
	blocks = 24
	ahead  = 3
)

// Cache reads a file in blocks, keeps the last ones and, where blocks are asked for in order, fetches the next ones at the
// same time. It is safe for concurrent use.
type Cache struct {
	from io.ReaderAt
	size int64

	mu   sync.Mutex
	held map[int64]*held
	used []int64 // block numbers, the last used at the end
}

type held struct {
	ready chan struct{}
	data  []byte
	err   error
}

// NewCache returns a cache of a file of that size in bytes.
func NewCache(from io.ReaderAt, size int64) *Cache {
	return &Cache{from: from, size: size, held: map[int64]*held{}}
}

// ReadAt implements io.ReaderAt.
func (c *Cache) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	total := 0
	for total < len(p) && off < c.size {
		b := c.block(off / block)
		<-b.ready
		if b.err != nil {
			return total, b.err
		}
		n := copy(p[total:], b.data[off%block:])
		total += n
		off += int64(n)
	}
	if total < len(p) {
		return total, io.EOF
	}
	return total, nil
}

// block returns a block, which may be on its way.
func (c *Cache) block(n int64) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, inOrder := c.held[n-1]
	b := c.fetch(n)
	for next := n + 1; inOrder && next <= n+ahead && next*block < c.size; next++ {
		c.fetch(next)
	}
	return b
}

// fetch returns a block that is held, else begins to read it. The caller holds the mutex.
func (c *Cache) fetch(n int64) *held {
	if at := slices.Index(c.used, n); at >= 0 {
		c.used = append(slices.Delete(c.used, at, at+1), n)
		return c.held[n]
	}
	b := &held{ready: make(chan struct{})}
	c.held[n], c.used = b, append(c.used, n)
	if len(c.used) > blocks {
		delete(c.held, c.used[0])
		c.used = slices.Delete(c.used, 0, 1)
	}
	go func() {
		c.read(n, b)
		close(b.ready)
	}()
	return b
}

// read fills a block. One that fails is forgotten, so that it is tried again.
func (c *Cache) read(n int64, b *held) {
	b.data = make([]byte, min(block, c.size-n*block))
	got, err := c.from.ReadAt(b.data, n*block)
	if got == len(b.data) {
		return
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[n] == b {
		delete(c.held, n)
		c.used = slices.DeleteFunc(c.used, func(k int64) bool { return k == n })
	}
}
