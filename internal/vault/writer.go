package vault

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"

	"github.com/klauspost/compress/s2"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/object"
	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

const (
	inFlight         = 64 << 20 // bytes of pieces that may wait for a writer
	smallCompressor  = compression.Name("zstd-fastest")
	streamCompressor = compression.Name("s2-default") // a quarter of the time for half as much again, which keeps up with a local copy
	indexSplitter    = "FIXED-128K"                   // fixed, so that a change of few entries stores few new contents
	wholePiece       = "FIXED-8M"                     // larger than any piece: an object of one content
	probeSize        = 16 << 10
)

var zeroBytes = make([]byte, mostBlock)

// piece is a part of a file on its way into the vault.
type piece struct {
	body       *body
	at         int
	data       []byte
	compressor compression.Name
}

// writers is the number of goroutines that write pieces: more than cores, since each waits for the disk in turn.
func writers() int { return 2*runtime.GOMAXPROCS(0) + 2 }

// writerNice is the priority of the writers' threads: what reads the source goes first, so that it keeps up with a server
// on the same machine, which waits for it while the writers take what is left.
const writerNice = 10

func (s *Session) startWriters() {
	for range writers() {
		s.workers.Add(1)
		go func() {
			defer s.workers.Done()
			// A thread that is locked by what ends with it is given to nobody else, and starts no others.
			runtime.LockOSThread()
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, writerNice) // without it the work is the same
			for p := range s.pieces {
				id, err := s.writePiece(p)
				s.budget.Release(int64(len(p.data)))
				s.buffers.put(p.data)
				p.body.arrive(p.at, id, err)
			}
		}()
	}
}

// send appends a piece to b and hands it to the writers, and waits while they are behind.
func (s *Session) send(b *body, data []byte, c compression.Name) error {
	return s.submit(b, func() int { return b.expect(int64(len(data))) }, data, c)
}

// submit is send for a piece whose place is told, and made to be waited for, by at.
func (s *Session) submit(b *body, at func() int, data []byte, c compression.Name) error {
	if err := s.failed(); err != nil {
		return err
	}
	if err := s.budget.Acquire(s.ctx, int64(len(data))); err != nil {
		return err
	}
	s.pieces <- piece{b, at(), data, c}
	return nil
}

func (s *Session) writePiece(p piece) (object.ID, error) {
	data := p.data
	if err := s.failed(); err != nil {
		return object.EmptyID, err
	}
	if len(data) > 0 && len(data) <= len(zeroBytes) && bytes.Equal(data, zeroBytes[:len(data)]) {
		return s.zero(len(data))
	}
	return s.writeObject(p.body.tree, data, object.WriterOptions{Splitter: wholePiece, Compressor: choose(data, p.compressor)})
}

// choose skips compression where a quick look at the middle of the piece says that it will not pay.
func choose(data []byte, with compression.Name) compression.Name {
	if len(data) < 4*probeSize {
		return with
	}
	mid := len(data) / 2
	if n := s2.EstimateBlockSize(data[mid : mid+probeSize]); n < 0 || n > probeSize*15/16 {
		return ""
	}
	return with
}

// zero returns the object of n zero bytes, written once.
func (s *Session) zero(n int) (object.ID, error) {
	s.zeroMu.Lock()
	defer s.zeroMu.Unlock()
	if id, ok := s.zeroes[n]; ok {
		return id, nil
	}
	id, err := s.writeObject(nil, zeroBytes[:n], object.WriterOptions{Splitter: wholePiece, Compressor: smallCompressor})
	if err == nil {
		s.zeroes[n] = id
	}
	return id, err
}

// writeObject writes data as one object and counts what is new of it for t, which may be nil. What the vault names of it
// and has lost is written anew.
func (s *Session) writeObject(t *Tree, data []byte, opts object.WriterOptions) (object.ID, error) {
	id, err := s.writeOnce(data, opts)
	if err != nil {
		return object.EmptyID, s.fail(err)
	}
	lost, err := s.lost(id)
	if len(lost) > 0 {
		id, err = s.writeAnew(id, data, opts)
	}
	if err != nil {
		return object.EmptyID, s.fail(err)
	}
	return id, s.count(t, id)
}

func (s *Session) writeOnce(data []byte, opts object.WriterOptions) (object.ID, error) {
	ctx, end := s.v.turns.take(s.ctx)
	defer end()
	w := s.w.NewObjectWriter(ctx, opts)
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return object.EmptyID, err
	}
	return w.Result()
}

type indirect struct {
	Stream  string                       `json:"stream"`
	Entries []object.IndirectObjectEntry `json:"entries"`
}

// compose makes one object of pieces: the piece itself when there is one, else a flat index of them.
func (s *Session) compose(t *Tree, entries []object.IndirectObjectEntry) (object.ID, error) {
	if len(entries) == 1 {
		return entries[0].Object, nil
	}
	id, err := s.writeObject(t, appendIndex(nil, entries), object.WriterOptions{
		Prefix: "x", Splitter: indexSplitter, Compressor: smallCompressor, MetadataCompressor: smallCompressor,
	})
	if err != nil {
		return object.EmptyID, err
	}
	return object.ParseID("I" + id.String())
}

// count adds the content of id to what this session wrote, if the vault did not hold it before. An object of several
// contents is an index; its own parts are small and stay uncounted.
func (s *Session) count(t *Tree, id object.ID) error {
	cid, _, ok := id.ContentID()
	if !ok {
		return nil
	}
	info, err := s.w.ContentInfo(s.ctx, cid)
	if err != nil {
		return s.fail(fmt.Errorf("find content %v after writing it: %w", cid, err))
	}
	if !s.rec.owns(info.PackBlobID) || !s.fresh.add(cid) {
		return nil
	}
	s.newBytes.Add(int64(info.PackedLength))
	if t != nil {
		t.newBytes.Add(int64(info.PackedLength))
		t.newContents.Add(1)
	}
	return nil
}

// fail keeps the first error of the session, after which nothing more is written, and returns it.
func (s *Session) fail(err error) error {
	err = s.v.full(err)
	s.err.CompareAndSwap(nil, &err)
	return s.failed()
}

// full says what to do when err is that the vault has no more room.
func (v *Vault) full(err error) error {
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	return &problem.Error{Kind: problem.Failed, Op: "write to vault", Target: v.loc.URL, Cause: err,
		Hint: "free space on the vault's filesystem or let older points expire; earlier points are whole"}
}

func (s *Session) failed() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return s.v.failure(s.ctx.Err())
}

// buffers recycles the memory of pieces. A garbage collection does not empty it, so that memory is cleared once and not
// for every piece.
type buffers struct{ free chan []byte }

func newBuffers() buffers { return buffers{make(chan []byte, inFlight/pagePiece)} }

// get returns an empty slice of at least the given capacity.
func (b *buffers) get(size int) []byte {
	for {
		select {
		case p := <-b.free:
			if cap(p) >= size {
				return p[:0]
			}
		default:
			return make([]byte, 0, size)
		}
	}
}

func (b *buffers) put(p []byte) {
	if cap(p) < pagePiece {
		return
	}
	select {
	case b.free <- p:
	default:
	}
}
