package tree

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/stream"
)

// MetaName is the name of the file, at the top of a tree, that holds a Meta.
const MetaName = ".holdfast-meta.json"

// Meta is what a tree cannot hold of the files it was made from.
type Meta struct {
	Version int     `json:"version"`
	Entries []Entry `json:"entries"` // sorted by path
}

// Entry is what the tree does not hold of one path.
type Entry struct {
	Path   string            `json:"path"`              // in the tree
	Name   []byte            `json:"name,omitempty"`    // the true last part of the path, where the tree has another
	LinkTo string            `json:"link_to,omitempty"` // the path in the tree whose hard link this is; the tree has a symlink
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	ACLs   []ACL             `json:"acls,omitempty"`   // those that name their owners
	Device *Device           `json:"device,omitempty"` // a device or fifo, which the tree has not at all
}

// ACL is an access control list as text whose owners are names of the machine it comes from.
type ACL struct {
	Attribute string `json:"attribute"`
	Text      string `json:"text"`
}

// Device is a device file or a fifo. Mode has its type and permission bits as mknod wants them.
type Device struct {
	Mode  uint32 `json:"mode"`
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
}

// Empty tells whether there is nothing to keep.
func (m Meta) Empty() bool { return len(m.Entries) == 0 }

// Marshal returns the content of the file MetaName.
func (m Meta) Marshal() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", MetaName, err)
	}
	return append(data, '\n'), nil
}

// ParseMeta reads what Marshal wrote. Paths that do not lie below the tree's top are refused.
func ParseMeta(data []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(data, &m); err != nil {
		return Meta{}, fmt.Errorf("parse %s: %w", MetaName, err)
	}
	if m.Version != 1 {
		return Meta{}, fmt.Errorf("parse %s: version %d is not known", MetaName, m.Version)
	}
	for _, e := range m.Entries {
		name := string(e.Name)
		if !fs.ValidPath(e.Path) || e.LinkTo != "" && !fs.ValidPath(e.LinkTo) || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return Meta{}, fmt.Errorf("parse %s: illegal path in entry %q", MetaName, e.Path)
		}
	}
	return m, nil
}

func (e *Entry) setXattr(name string, value []byte) {
	if e.Xattrs == nil {
		e.Xattrs = map[string][]byte{}
	}
	e.Xattrs[name] = value
}

func (e *Entry) empty() bool {
	return e.Name == nil && e.LinkTo == "" && len(e.Xattrs) == 0 && len(e.ACLs) == 0 && e.Device == nil
}

func collect(extra map[string]*Entry) Meta {
	m := Meta{Version: 1}
	for _, e := range extra {
		if !e.empty() {
			m.Entries = append(m.Entries, *e)
		}
	}
	slices.SortFunc(m.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return m
}

func deviceOf(h *tar.Header, m stream.Meta) *Device {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	return &Device{Mode: kind | uint32(m.Mode.Perm()), Major: uint32(h.Devmajor), Minor: uint32(h.Devminor), UID: m.UID, GID: m.GID}
}
