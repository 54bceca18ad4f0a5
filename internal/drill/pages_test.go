package drill

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// file makes pages of zeros but for the flags, a counter and its sequence number, with their checksums.
func file(flags uint32, size, pages int, full bool) []byte {
	var b []byte
	for n := range pages {
		page := make([]byte, size)
		binary.BigEndian.PutUint32(page[4:], uint32(n))
		binary.BigEndian.PutUint64(page[pageLSN:], uint64(1000+n))
		if n == 0 {
			binary.BigEndian.PutUint32(page[spaceFlags:], flags)
		}
		if full {
			binary.BigEndian.PutUint32(page[size-4:], crc32.Checksum(page[:size-4], castagnoli))
		} else {
			sum := crc32.Checksum(page[4:26], castagnoli) ^ crc32.Checksum(page[38:size-8], castagnoli)
			binary.BigEndian.PutUint32(page, sum)
			binary.BigEndian.PutUint32(page[size-8:], sum)
		}
		b = append(b, page...)
	}
	return b
}

func TestPages(t *testing.T) {
	const full16, full4, old8, zipped, squeezed = 0x15, 0x13, 4 << 6, 3 << 1, 0x15 | 1<<5
	torn := func(b []byte, at int) []byte { b[at] ^= 4; return b }
	for _, test := range []struct {
		name string
		data []byte
		want filePages
	}{
		{"whole", file(full16, 16<<10, 3, true), filePages{pages: 3, lsn: 1002}},
		{"small pages", file(full4, 4<<10, 5, true), filePages{pages: 5, lsn: 1004}},
		{"the older format", file(old8, 8<<10, 2, false), filePages{pages: 2, lsn: 1001}},
		{"never used", append(file(full16, 16<<10, 1, true), make([]byte, 16<<10)...), filePages{pages: 2, lsn: 1000}},
		{"torn", torn(file(full16, 16<<10, 4, true), 2*16<<10+700), filePages{pages: 4, wrong: 1, first: 2, lsn: 1003}},
		{"torn in the older format", torn(file(old8, 8<<10, 2, false), 8<<10+700), filePages{pages: 2, wrong: 1, first: 1, lsn: 1001}},
		{"cut", file(full16, 16<<10, 2, true)[:30000], filePages{pages: 1, wrong: 1, lsn: 1000}},
		{"compressed tables", file(zipped, 4<<10, 2, false), filePages{pages: 2, lsn: 1001, odd: true}},
		{"compressed pages", file(squeezed, 16<<10, 2, true), filePages{pages: 2, lsn: 1001, odd: true}},
	} {
		counted := int64(0)
		got, err := readPages(bytes.NewReader(test.data), func(n int64) { counted += n })
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
		if whole := test.want.pages; counted < whole*4096 {
			t.Errorf("%s: %d bytes were counted", test.name, counted)
		}
	}
	if got, err := readPages(bytes.NewReader(nil), func(int64) {}); err == nil {
		t.Errorf("an empty file is %+v", got)
	}
}

func TestTableOf(t *testing.T) {
	for name, want := range map[string]string{
		"nova/instances.ibd": "nova/instances", "oddities/sliced#P#p2022.ibd": "oddities/sliced", "ibdata1": "ibdata1", "a/b#p#x#SP#y.ibd": "a/b",
	} {
		if got := tableOf(name); got != want {
			t.Errorf("%s belongs to %s, want %s", name, got, want)
		}
	}
}
