package mariadb

import (
	"encoding/binary"
	"strings"
)

// engine is how a table keeps its data in files beside its definition.
type engine struct {
	data        []string // the ends of the names of its files; none for an engine whose data is not looked for
	partitioned bool     // each partition has files of its own
}

// The codes of engines in a definition.
const (
	codeMyISAM      = 9
	codePartitioned = 20
	codeAria        = 42
)

// engineOf reads a table's definition, a .frm file. It begins with the bytes FE 01, a version, and the engine's code; of
// a partitioned table that is a code for all such, and the engine of the partitions stands at byte 61. A view is text.
func engineOf(frm []byte) engine {
	if len(frm) < 62 || frm[0] != 0xfe || frm[1] != 1 {
		return engine{}
	}
	e, code := engine{}, frm[3]
	if code == codePartitioned {
		e.partitioned, code = true, frm[61]
	}
	switch code {
	case codeMyISAM:
		e.data = []string{".MYI", ".MYD"}
	case codeAria:
		e.data = []string{".MAI", ".MAD"}
	}
	return e
}

// partitionsOf reads the list of a table's partitions, a .par file, and returns their names as they stand in the names
// of files: "p0", or "p0#SP#s1" where there are partitions of partitions. The list has the number of partitions at byte
// 8, then four bytes for each four engines of partitions, the length of all names in four bytes, and the names, each
// ended by a zero byte. Ok is false for a list that is cut or makes no sense.
func partitionsOf(par []byte) (names []string, ok bool) {
	if len(par) < 12 {
		return nil, false
	}
	count := int64(binary.LittleEndian.Uint32(par[8:]))
	start := 12 + (count+3)/4*4 + 4
	if count == 0 || start > int64(len(par)) {
		return nil, false
	}
	names = strings.Split(string(par[start:]), "\x00")
	if int64(len(names)) <= count {
		return nil, false
	}
	return names[:count], true
}
