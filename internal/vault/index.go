package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/kopia/kopia/repo/object"
)

// The index of an object of several pieces is JSON: {"stream":"kopia:indirect","entries":[{"s":START,"l":LENGTH,"o":ID}…]},
// where what is 0 is left out. Large images have hundreds of thousands of entries, most of them the same piece of zeros,
// so that general encoding and decoding would cost more than all the rest of an increment.
const (
	indexHead = `{"stream":"kopia:indirect","entries":[`
	indexTail = `]}`
)

// appendIndex appends the index of entries to b, in the bytes that json.Marshal would make.
func appendIndex(b []byte, entries []object.IndirectObjectEntry) []byte {
	b = append(b, indexHead...)
	var last object.ID
	var name string
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		if i == 0 || e.Object != last {
			last, name = e.Object, e.Object.String()
		}
		b = append(b, '{')
		b = appendNumber(b, `"s":`, e.Start)
		b = appendNumber(b, `"l":`, e.Length)
		b = append(append(append(b, `"o":"`...), name...), `"}`...)
	}
	return append(b, indexTail...)
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return append(fmt.Appendf(append(b, key...), "%d", n), ',')
}

// parseIndex reads an index. One that is written otherwise is read with all the care of JSON.
func parseIndex(data []byte) ([]object.IndirectObjectEntry, error) {
	if entries, ok := parsePlain(data); ok {
		return entries, nil
	}
	var ind indirect
	if err := json.Unmarshal(data, &ind); err != nil {
		return nil, err
	}
	if ind.Stream != "kopia:indirect" {
		return nil, fmt.Errorf("stream %q is no index", ind.Stream)
	}
	return ind.Entries, nil
}

// parsePlain reads what appendIndex writes, and nothing else.
func parsePlain(data []byte) (entries []object.IndirectObjectEntry, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimRight(data, "\n"), []byte(indexHead))
	if !ok {
		return nil, false
	}
	entries = make([]object.IndirectObjectEntry, 0, len(rest)/64)
	var name []byte
	var last object.ID
	for {
		e, id, after, ok := plainEntry(rest)
		if !ok {
			return nil, false
		}
		if !bytes.Equal(id, name) {
			parsed, err := object.ParseID(string(id))
			if err != nil {
				return nil, false
			}
			name, last = id, parsed
		}
		e.Object = last
		entries = append(entries, e)
		if string(after) == indexTail {
			return entries, true
		}
		if rest, ok = bytes.CutPrefix(after, []byte(",")); !ok {
			return nil, false
		}
	}
}

// plainEntry reads one entry and the text of its object's identity.
func plainEntry(data []byte) (e object.IndirectObjectEntry, id, rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(data, []byte("{")); !ok {
		return e, nil, nil, false
	}
	if e.Start, rest, ok = plainNumber(rest, `"s":`); !ok {
		return e, nil, nil, false
	}
	if e.Length, rest, ok = plainNumber(rest, `"l":`); !ok {
		return e, nil, nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`"o":"`)); !ok {
		return e, nil, nil, false
	}
	id, rest, ok = bytes.Cut(rest, []byte(`"}`))
	return e, id, rest, ok
}

// plainNumber reads a number behind its key and a comma; without the key it is 0.
func plainNumber(data []byte, key string) (n int64, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(data, []byte(key))
	if !ok {
		return 0, data, true
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		if n > (math.MaxInt64-9)/10 {
			return 0, nil, false
		}
		n = n*10 + int64(rest[digits]-'0')
		digits++
	}
	rest, ok = bytes.CutPrefix(rest[digits:], []byte(","))
	return n, rest, ok && digits > 0
}
