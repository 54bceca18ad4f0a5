package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
)

const (
	readAhead  = 48 << 20 // bytes of pieces fetched before they are asked for
	sequential = 1 << 20  // bytes that Read reads in a row before it fetches ahead
)

// File is an open file of a point. Read and WriteTo fetch pieces ahead in parallel; ReadAt is safe for concurrent use,
// the others are not.
type File struct {
	ctx     context.Context
	v       *Vault
	e       *snapshot.DirEntry
	entries []object.IndirectObjectEntry

	pos   int64
	run   int64    // bytes that Read has read since the last seek
	ahead *fetcher // what Read reads from, or nil

	mu   sync.Mutex
	last *fetched // the piece that ReadAt read last
}

var _ interface {
	fs.File
	io.ReaderAt
	io.Seeker
	io.WriterTo
} = (*File)(nil)

func (f *FS) openFile(e *snapshot.DirEntry) (*File, error) {
	entries, err := contentsOf(f.v.repo).entries(f.ctx, e.ObjectID, e.FileSize)
	if err != nil {
		return nil, err
	}
	var end int64
	for _, p := range entries {
		if p.Start != end || p.Length < 0 {
			return nil, errors.New("index of the file is damaged")
		}
		end += p.Length
	}
	if end != e.FileSize {
		return nil, fmt.Errorf("pieces of the file have %d bytes of %d", end, e.FileSize)
	}
	return &File{ctx: f.ctx, v: f.v, e: e, entries: entries}, nil
}

// Stat describes the file.
func (f *File) Stat() (fs.FileInfo, error) { return info{f.e, f.e.Name}, nil }

// Size returns the length of the file in bytes.
func (f *File) Size() int64 { return f.e.FileSize }

// Read reads on, fetching pieces ahead.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.pos >= f.e.FileSize {
		return 0, io.EOF
	}
	n, err := f.readOn(p)
	f.pos += int64(n)
	f.run += int64(n)
	return n, err
}

func (f *File) readOn(p []byte) (int, error) {
	if f.ahead == nil && f.run < sequential {
		n, err := f.ReadAt(p, f.pos)
		if n > 0 {
			err = nil // the end is told by the next call, and damage again
		}
		return n, err
	}
	if f.ahead == nil {
		f.ahead = f.fetch(f.pos)
	}
	return f.ahead.read(p)
}

// WriteTo writes what is left of the file.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	f.stop()
	ahead := f.fetch(f.pos)
	defer ahead.stop()
	var total int64
	for {
		data, err := ahead.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(data)
		f.pos += int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// ReadAt reads at an offset.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	total := 0
	for total < len(p) && off < f.e.FileSize {
		i := f.at(off)
		data, err := f.piece(i)
		if err != nil {
			return total, err
		}
		n := copy(p[total:], data[off-f.entries[i].Start:])
		total += n
		off += int64(n)
	}
	if total < len(p) {
		return total, io.EOF
	}
	return total, nil
}

// Seek sets where Read goes on.
func (f *File) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += f.e.FileSize
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off != f.pos {
		f.stop()
		f.pos, f.run = off, 0
	}
	return off, nil
}

// Close releases what was fetched ahead.
func (f *File) Close() error {
	f.stop()
	return nil
}

func (f *File) stop() {
	if f.ahead != nil {
		f.ahead.stop()
		f.ahead = nil
	}
}

// at returns the piece that holds the byte at off.
func (f *File) at(off int64) int {
	return sort.Search(len(f.entries), func(i int) bool { return f.entries[i].Start+f.entries[i].Length > off })
}

// piece returns a piece for ReadAt, which often asks for the same one again.
func (f *File) piece(i int) ([]byte, error) {
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if last != nil && last.at == i {
		return last.data, nil
	}
	data, err := f.v.read(f.ctx, f.entries[i])
	if err == nil {
		f.mu.Lock()
		f.last = &fetched{at: i, data: data}
		f.mu.Unlock()
	}
	return data, err
}

// read returns the bytes of one piece.
func (v *Vault) read(ctx context.Context, e object.IndirectObjectEntry) ([]byte, error) {
	cid, compressed, direct := e.Object.ContentID()
	var data []byte
	var err error
	if direct && !compressed && !cid.HasPrefix() {
		data, err = v.piece(ctx, cid)
	} else {
		data, err = v.readObject(ctx, e.Object)
	}
	if err != nil {
		return nil, v.unread(ctx, e.Object, fmt.Errorf("read piece %v: %w", e.Object, err))
	}
	if int64(len(data)) != e.Length {
		return nil, fmt.Errorf("piece %v has %d bytes of %d", e.Object, len(data), e.Length)
	}
	return data, nil
}

func (v *Vault) piece(ctx context.Context, id content.ID) ([]byte, error) {
	info, err := v.repo.ContentReader().ContentInfo(ctx, id)
	if err != nil {
		return nil, err
	}
	return v.content(ctx, info)
}

func (v *Vault) readObject(ctx context.Context, id object.ID) (data []byte, err error) {
	err = again(ctx, func(ctx context.Context) error {
		rd, err := v.repo.OpenObject(ctx, id)
		if err != nil {
			return err
		}
		defer rd.Close()
		data, err = io.ReadAll(rd)
		return err
	})
	return data, err
}

// fetched is a piece on its way or here.
type fetched struct {
	at    int
	data  []byte
	err   error
	ready chan struct{}
}

// fetcher reads the pieces of a file in order, several at once.
type fetcher struct {
	cancel context.CancelFunc
	queue  chan *fetched
	left   int   // pieces not yet returned
	skip   int64 // bytes of the first piece before the start
	cur    []byte
	err    error
}

// fetch starts to read ahead from off.
func (f *File) fetch(off int64) *fetcher {
	first := f.at(off)
	places := make([]int, len(f.entries)-first)
	for n := range places {
		places[n] = first + n
	}
	fe := f.fetchAll(places)
	if len(places) > 0 {
		fe.skip = off - f.entries[first].Start
	}
	return fe
}

// fetchAll starts to read the pieces at the given places, in that order.
func (f *File) fetchAll(places []int) *fetcher {
	ctx, cancel := context.WithCancel(f.ctx)
	largest := int64(1)
	for _, at := range places {
		largest = max(largest, f.entries[at].Length)
	}
	fe := &fetcher{cancel: cancel, left: len(places), queue: make(chan *fetched, min(int64(len(places)), max(2, readAhead/largest)))}
	work := make(chan *fetched)
	for range min(f.v.readers(cap(fe.queue)), len(places)) {
		go func() {
			for p := range work {
				p.data, p.err = f.v.read(ctx, f.entries[p.at])
				close(p.ready)
			}
		}()
	}
	go f.feed(ctx, fe.queue, work, places)
	return fe
}

// readers is how many pieces of a file are fetched at once from a disk.
const readers = 8

// readers is how many pieces are fetched at once: from far away, all that are asked for beforehand.
func (v *Vault) readers(ahead int) int {
	if v.store.root == "" {
		return max(ahead, readers)
	}
	return readers
}

// feed hands out the pieces; the queue's capacity bounds how far ahead.
func (f *File) feed(ctx context.Context, queue, work chan *fetched, places []int) {
	defer close(queue)
	defer close(work)
	for _, at := range places {
		p := &fetched{at: at, ready: make(chan struct{})}
		select {
		case queue <- p:
		case <-ctx.Done():
			return
		}
		select {
		case work <- p:
		case <-ctx.Done():
			p.err = ctx.Err()
			close(p.ready)
			return
		}
	}
}

// next returns the next piece, and io.EOF after the last.
func (fe *fetcher) next() ([]byte, error) {
	if fe.err != nil {
		return nil, fe.err
	}
	if fe.left == 0 {
		return nil, io.EOF
	}
	p, ok := <-fe.queue
	if !ok {
		fe.err = context.Canceled // the feeder stops early for no other reason
		return nil, fe.err
	}
	<-p.ready
	fe.left--
	if p.err != nil {
		fe.err = p.err
		return nil, p.err
	}
	data := p.data[fe.skip:]
	fe.skip = 0
	return data, nil
}

func (fe *fetcher) read(p []byte) (int, error) {
	for len(fe.cur) == 0 {
		data, err := fe.next()
		if err != nil {
			return 0, err
		}
		fe.cur = data
	}
	n := copy(p, fe.cur)
	fe.cur = fe.cur[n:]
	return n, nil
}

func (fe *fetcher) stop() { fe.cancel() }
