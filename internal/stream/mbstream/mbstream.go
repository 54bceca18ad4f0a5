// Package mbstream reads the stream of mariadb-backup --stream=mbstream into a tree of files.
//
// A stream is a plain sequence of chunks and has no end mark of its own: one that was cut between two chunks looks
// whole. Extract therefore proves every byte it saw, and Summary.Complete tells whether the last file was the one that
// mariadb-backup writes last. The caller must also see the command exit with 0 after "completed OK!".
package mbstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"holdfast/internal/stream"
)

// Options says what the files of a stream become in the tree.
type Options struct {
	UID, GID uint32    // owner of every file and directory
	ModTime  time.Time // of every file and directory
	// Keep chooses files of at most KeepLimit bytes whose contents are returned in Summary.Kept; nil means IsMetadata.
	Keep func(path string) bool
	// Read, if set, is told how many more bytes of the stream were used.
	Read func(n int64)
}

// KeepLimit is the size in bytes above which a file is never kept in memory.
const KeepLimit = 1 << 20

// Summary counts what a stream held.
type Summary struct {
	Bytes    int64 // of the stream
	Payload  int64 // of the files' contents
	Files    int   // that ended, a rewritten one counted again
	Renames  int
	Removes  int
	Rewrites int
	// Ignored are renames and removes of files that are not there: DDL that ran before the file was copied.
	Ignored int
	// Spared are databases that were dropped and created again while the backup ran; mbstream -x would lose them.
	Spared   []string
	LastFile string            // the last file that ended
	Kept     map[string][]byte // contents of the files that Options.Keep chose, by their final path
}

// Complete returns nil when the stream ended with the file that mariadb-backup writes last of all.
func (s Summary) Complete() error {
	if is(s.LastFile, "info") {
		return nil
	}
	if s.LastFile == "" {
		return errors.New("the stream is incomplete: no file in it ended")
	}
	return fmt.Errorf("the stream is incomplete: it ends after %q instead of xtrabackup_info", s.LastFile)
}

// Error says where in the stream and in which file the trouble is.
type Error struct {
	Offset int64  // bytes from the start of the stream
	Path   string // "" when no file is known yet
	Err    error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("read mbstream at byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("read mbstream at byte %d, file %q: %v", e.Offset, e.Path, e.Err)
}

// Unwrap returns the cause; io.ErrUnexpectedEOF for a stream that was cut.
func (e *Error) Unwrap() error { return e.Err }

// Extract reads the whole stream into dst. On any error, all of it a wrapped *Error or ctx's, what dst holds is worth
// nothing and must be given up as a whole: files that ended before the trouble are in it. Extract never closes r; to
// stop a read that hangs, the caller closes it.
func Extract(ctx context.Context, r io.Reader, dst stream.Tree, o Options) (Summary, error) {
	if o.Keep == nil {
		o.Keep = IsMetadata
	}
	x := &extractor{
		opts:  o,
		dst:   dst,
		r:     bufio.NewReaderSize(r, headerBuffer),
		buf:   make([]byte, pieceSize),
		open:  map[string]*file{},
		ended: map[string]struct{}{},
		dirs:  map[string]struct{}{},
		sum:   Summary{Kept: map[string][]byte{}},
	}
	err := x.run(ctx)
	if err != nil {
		x.abort()
	}
	return x.sum, err
}

func (x *extractor) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := x.offset
		err := x.chunk(ctx)
		x.sum.Bytes = x.offset
		if x.opts.Read != nil {
			x.opts.Read(x.offset - start)
		}
		if err == io.EOF {
			return x.finish()
		}
		if err != nil {
			return x.wrap(err)
		}
	}
}

// finish checks what can only be known once the stream has ended.
func (x *extractor) finish() error {
	x.path = nil
	if x.offset == 0 {
		return x.wrap(errors.New("the stream is empty"))
	}
	for name := range x.open {
		x.path = []byte(name)
		return x.wrap(fmt.Errorf("the stream ends while %d files are unfinished: %w", len(x.open), io.ErrUnexpectedEOF))
	}
	return nil
}

func (x *extractor) wrap(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Offset: x.offset, Path: string(x.path), Err: err}
}

func (x *extractor) abort() {
	for _, f := range x.open {
		f.Abort()
	}
}

// hint tells files of pages that change in place from the others.
func hint(name string) stream.Hint {
	base := path.Base(name)
	switch path.Ext(base) {
	case ".ibd", ".MAD", ".MAI":
		return stream.Pages
	}
	if strings.HasPrefix(base, "ibdata") || strings.HasPrefix(base, "undo") {
		return stream.Pages
	}
	return stream.Plain
}
