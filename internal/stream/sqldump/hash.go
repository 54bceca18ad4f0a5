package sqldump

import (
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash is the sum modulo 2^128 of the XXH3 hashes of the rows, each taken over the bytes from its opening to its
// closing parenthesis as the dump writes them. It does not depend on the order of the rows. It tells damage and
// difference apart from sameness, not a forger's work.
type Hash struct{ Hi, Lo uint64 }

// String is 32 hexadecimal digits.
func (h Hash) String() string { return fmt.Sprintf("%016x%016x", h.Hi, h.Lo) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	var b [16]byte
	if n, err := hex.Decode(b[:], text); err != nil || n != len(b) || len(text) != 32 {
		return fmt.Errorf("parse hash: %q is not 32 hexadecimal digits", text)
	}
	*h = Hash{}
	for i := range 8 {
		h.Hi = h.Hi<<8 | uint64(b[i])
		h.Lo = h.Lo<<8 | uint64(b[8+i])
	}
	return nil
}

func (h *Hash) add(u xxh3.Uint128) {
	var carry uint64
	h.Lo, carry = bits.Add64(h.Lo, u.Lo, 0)
	h.Hi, _ = bits.Add64(h.Hi, u.Hi, carry)
}

// row hashes one row, of which only the part in memory need be at hand.
type row struct {
	open    bool
	start   int // in the input's buffer
	partial bool
	hasher  *xxh3.Hasher
}

func (r *row) begin(at int) { r.open, r.start, r.partial = true, at, false }

// spill takes the part that is about to leave memory; what follows starts the buffer anew.
func (r *row) spill(part []byte) {
	if r.hasher == nil {
		r.hasher = xxh3.New()
	}
	if !r.partial {
		r.hasher.Reset()
	}
	r.hasher.Write(part)
	r.partial, r.start = true, 0
}

func (r *row) finish(part []byte) xxh3.Uint128 {
	r.open = false
	if !r.partial {
		return xxh3.Hash128(part)
	}
	r.hasher.Write(part)
	return r.hasher.Sum128()
}
