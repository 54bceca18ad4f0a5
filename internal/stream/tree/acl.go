package tree

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Tags of ACL entries in the kernel's attribute, in the order in which it wants them.
const (
	tagUserOwner  = 0x01
	tagUser       = 0x02
	tagGroupOwner = 0x04
	tagGroup      = 0x08
	tagMask       = 0x10
	tagOther      = 0x20

	aclVersion = 2
	noID       = math.MaxUint32
)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// encodeACL turns the text form, with numeric owners, into the value of a posix_acl attribute.
func encodeACL(text string) ([]byte, error) {
	var entries []aclEntry
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ',' }) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		e, err := parseACLEntry(line)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b aclEntry) int {
		if a.tag != b.tag {
			return int(a.tag) - int(b.tag)
		}
		return int(int64(a.id) - int64(b.id))
	})
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out, nil
}

func parseACLEntry(line string) (aclEntry, error) {
	fields := strings.Split(line, ":")
	if len(fields) < 3 {
		return aclEntry{}, fmt.Errorf("parse ACL: %q is no entry", line)
	}
	e := aclEntry{id: noID}
	named := fields[1] != ""
	switch fields[0] {
	case "user", "u":
		e.tag = tagUserOwner
	case "group", "g":
		e.tag = tagGroupOwner
	case "mask", "m":
		e.tag = tagMask
	case "other", "o":
		e.tag = tagOther
	default:
		return e, fmt.Errorf("parse ACL: %q is no entry", line)
	}
	if named {
		id, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil || e.tag > tagGroupOwner {
			return e, fmt.Errorf("parse ACL: owner %q is not numeric", fields[1])
		}
		e.tag, e.id = e.tag<<1, uint32(id)
	}
	for i, bit := range []uint16{4, 2, 1} {
		if i < len(fields[2]) && fields[2][i] == "rwx"[i] {
			e.perm |= bit
		}
	}
	return e, nil
}
