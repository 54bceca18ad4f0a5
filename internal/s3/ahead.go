package s3

import (
	"container/list"
	"context"
	"io"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
)

// A store that is far away answers a request for 4 MiB nearly as fast as one for the 512 KiB of a piece of an image. So when a
// second piece is asked for of the same cell of a pack, the whole cell is fetched, and the pieces after it are taken from there.
const (
	cellSize  = 4 << 20
	cellsKept = 24  // with their bytes
	cellsSeen = 512 // that were asked for once, too
	smallPart = cellSize / 8
)

type cellKey struct {
	id blob.ID
	n  int64
}

// cell is a part of a pack, or only the knowledge that it was asked for.
type cell struct {
	key   cellKey
	ready chan struct{} // closed when data or err is there; nil while nobody fetches it
	data  []byte
	err   error
}

// cells are those that were used last, at the front of the list.
type cells struct {
	mu    sync.Mutex
	byKey map[cellKey]*list.Element
	order list.List
	held  int // that are fetched or on their way
}

// take returns the cell when it is held or on its way. Fetch is true for whoever is to fetch it.
func (c *cells) take(key cellKey) (got *cell, fetch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		if c.byKey == nil {
			c.byKey = map[cellKey]*list.Element{}
		}
		c.byKey[key] = c.order.PushFront(&cell{key: key})
		c.trim()
		return nil, false
	}
	c.order.MoveToFront(e)
	got = e.Value.(*cell)
	if fetch = got.ready == nil; fetch {
		got.ready = make(chan struct{})
		c.held++
		c.trim()
	}
	return got, fetch
}

// trim forgets what was used longest ago.
func (c *cells) trim() {
	for c.held > cellsKept || c.order.Len() > cellsSeen {
		oldest := c.order.Remove(c.order.Back()).(*cell)
		delete(c.byKey, oldest.key)
		if oldest.ready != nil {
			c.held--
		}
	}
}

// part reads a small part of a pack by way of its cell. It reports false when the cell does not serve.
func (b *Bucket) part(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) (bool, error) {
	n := offset / cellSize
	if id[0] != 'p' || b.past != nil || length > smallPart || n != (offset+length-1)/cellSize {
		return false, nil
	}
	if ctx.Value(freshKey{}) != nil {
		b.cells.forget(cellKey{id, n})
		return false, nil
	}
	c, fetch := b.cells.take(cellKey{id, n})
	switch {
	case c == nil:
		return false, nil
	case fetch:
		c.data, c.err = b.fetchCell(context.WithoutCancel(ctx), id, n*cellSize)
		close(c.ready)
	}
	select {
	case <-ctx.Done():
		return true, ctx.Err()
	case <-c.ready:
	}
	from := offset - n*cellSize
	if c.err != nil || from+length > int64(len(c.data)) {
		b.cells.forget(c.key)
		return false, nil
	}
	out.Reset()
	_, err := out.Write(c.data[from : from+length])
	return true, err
}

type freshKey struct{}

// Fresh makes what is read with the context come from the store, whatever was read before.
func Fresh(ctx context.Context) context.Context { return context.WithValue(ctx, freshKey{}, true) }

// forget drops a cell that did not serve.
func (c *cells) forget(key cellKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return
	}
	if c.order.Remove(e).(*cell).ready != nil {
		c.held--
	}
	delete(c.byKey, key)
}

// fetchCell reads up to a cell's length, less at the end of the pack.
func (b *Bucket) fetchCell(ctx context.Context, id blob.ID, offset int64) (data []byte, err error) {
	var o minio.GetObjectOptions
	if err := o.SetRange(offset, offset+cellSize-1); err != nil {
		return nil, err
	}
	err = b.try(ctx, "read "+string(id), cellSize, func(ctx context.Context) error {
		body, info, _, err := b.core.GetObject(ctx, b.o.Bucket, b.name(id), o)
		if err != nil {
			return missing(err)
		}
		defer body.Close()
		data = make([]byte, info.Size)
		_, err = io.ReadFull(body, data)
		return err
	})
	return data, err
}
