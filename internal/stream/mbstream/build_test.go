package mbstream_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// builder writes streams chunk by chunk.
type builder struct{ bytes.Buffer }

func (b *builder) head(flags, kind byte, path string) *builder {
	b.WriteString("XBSTCK01")
	b.Write([]byte{flags, kind})
	b.u32(len(path))
	b.WriteString(path)
	return b
}

func (b *builder) u32(n int) { b.Write(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
func (b *builder) u64(n int) { b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n))) }

func (b *builder) body(offset int, data string) *builder {
	b.u64(len(data))
	b.u64(offset)
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(data))))
	b.WriteString(data)
	return b
}

func (b *builder) payload(path string, offset int, data string) *builder {
	return b.head(0, 'P', path).body(offset, data)
}

func (b *builder) rewrite(path string, offset int, data string) *builder {
	return b.head(2, 'P', path).body(offset, data)
}

func (b *builder) end(path string) *builder { return b.head(0, 'E', path) }

func (b *builder) file(path, data string) *builder { return b.payload(path, 0, data).end(path) }

func (b *builder) remove(path string) *builder { return b.head(0, 'D', path) }

func (b *builder) rename(from, to string) *builder {
	b.head(0, 'R', from)
	b.u32(len(to))
	b.WriteString(to)
	return b
}

func (b *builder) seek(path string, to int) *builder {
	b.head(0, 'S', path)
	b.u64(to)
	return b
}

func (b *builder) raw(s string) *builder {
	b.WriteString(s)
	return b
}

func (b *builder) info() *builder { return b.file("xtrabackup_info", "uuid = x\n") }

func build() *builder { return &builder{} }

func (b *builder) clone() []byte { return slices.Clone(b.Bytes()) }
