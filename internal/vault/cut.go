package vault

// Sizes of the pieces of plain files in bytes. What is inserted into a file moves the cuts around it and no others.
const (
	leastPlain = 256 << 10
	mostPlain  = 1 << 20
	// plainMask has 18 bits, so that a cut comes 256 KiB after the least size on average. They are the highest ones,
	// which depend on the last 46 bytes and more; the low ones depend on few.
	plainMask = ((1 << 18) - 1) << 46
)

// gear is a table of numbers without pattern. Another table would cut other pieces, and so share none with earlier
// points; it never changes.
var gear = func() (table [256]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range table {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		table[i] = z ^ z>>31
	}
	return table
}()

// cutter finds where the pieces of a plain file end, by their content: a rolling sum over a table (gear hashing), begun
// only where a piece is long enough to end.
type cutter struct {
	size int // of the piece so far
	sum  uint64
}

// next returns how many bytes of p belong to the current piece, and whether the piece ends with them.
func (c *cutter) next(p []byte) (n int, full bool) {
	if c.size < leastPlain {
		n = min(leastPlain-c.size, len(p))
	}
	sum := c.sum
	rest := p[n:max(n, min(len(p), mostPlain-c.size))]
	for i, b := range rest {
		sum = sum<<1 + gear[b]
		if sum&plainMask == 0 {
			c.reset()
			return n + i + 1, true
		}
	}
	n += len(rest)
	c.sum = sum
	c.size += n
	if c.size < mostPlain {
		return n, false
	}
	c.reset()
	return n, true
}

// reset begins a new piece.
func (c *cutter) reset() { *c = cutter{} }
