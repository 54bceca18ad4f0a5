// Package rbddiff reads and writes the stream of rbd export-diff, version 1: what changed in an image, or all that it
// holds, up to a snapshot.
//
// The format is little-endian and has neither checksums nor the image's identity: "rbd diff v1\n", then records, each a
// letter and its fields. f and t name the snapshots the stream begins and ends with (u32 length, name), s is the size of
// the image (u64), w an extent with its bytes (u64 offset, u64 length, the bytes), z an extent of zeros (u64 offset, u64
// length), e the end. Source: doc/dev/rbd-diff.rst of Ceph, and what version 16 writes.
//
// What rbd writes is stricter than the format: f, t and s come first and once, and extents ascend without overlapping.
// The reader demands all of it, since a stream that breaks any of this is not what rbd was asked for.
package rbddiff

import "fmt"

const banner = "rbd diff v1\n"

// The letters of records.
const (
	tagFrom = 'f'
	tagTo   = 't'
	tagSize = 's'
	tagData = 'w'
	tagZero = 'z'
	tagEnd  = 'e'
)

// nameLimit is the length in bytes above which the name of a snapshot is not believed; rbd itself stays far below.
const nameLimit = 64 << 10

// Header is what a stream says before its extents.
type Header struct {
	From string // snapshot that the stream is a difference to; "" for everything the image holds
	To   string // snapshot that it leads to; "" for the image's head
	Size int64  // of the image at To, in bytes: what lies beyond is cut off first, what is missing is added as zeros
}

// Extent is a range of the image that the stream changes.
type Extent struct {
	Offset, Length int64 // in bytes
	Zero           bool  // the range holds zeros from now on, and no bytes follow
}

// End is the first byte after the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// Error says where in a stream the trouble is.
type Error struct {
	Offset int64 // bytes from the start of the stream
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("read rbd diff at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns the cause; io.ErrUnexpectedEOF for a stream that was cut.
func (e *Error) Unwrap() error { return e.Err }
