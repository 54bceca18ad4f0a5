package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"holdfast/internal/stream"
)

// place decides where in the tree an entry stands, and notes its true name if that is another.
func (x *extractor) place(h *tar.Header) (string, error) {
	p, err := x.encodePath(h.Name)
	if err != nil || p == "." {
		return p, err
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if kind, known := x.kinds[dir]; known && kind != tar.TypeDir {
			return "", fmt.Errorf("it lies below %q, which is no directory", dir)
		}
	}
	if before, known := x.kinds[p]; known && (before == tar.TypeDir) != (h.Typeflag == tar.TypeDir) {
		return "", errors.New("it comes twice, once as a directory")
	}
	if e := x.extra[p]; e != nil {
		x.extra[p] = &Entry{Path: p, Name: e.Name} // a later entry replaces an earlier one
	}
	x.kinds[p] = h.Typeflag
	return p, nil
}

// encodePath returns the path in the tree for a name in the archive, and keeps the true name of every part that had
// to be changed.
func (x *extractor) encodePath(name string) (string, error) {
	name = strings.TrimPrefix(strings.TrimSuffix(name, "/"), "./")
	if name == "" || name == "." {
		return ".", nil
	}
	encoded := ""
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return "", errors.New("the path is not legal")
		}
		safe := encodeName(part, encoded == "")
		encoded = path.Join(encoded, safe)
		if safe != part {
			x.at(encoded).Name = []byte(part)
		}
	}
	if !fs.ValidPath(encoded) {
		return "", errors.New("the path is not legal")
	}
	return encoded, nil
}

// encodeName makes a name UTF-8: every byte that is none is written as U+FFFD and two hexadecimal digits. So is a
// U+FFFD that was there, so that no two names become one, and the first letter of a name that is ours.
func encodeName(name string, top bool) string {
	var b strings.Builder
	for i, r := range name {
		_, n := utf8.DecodeRuneInString(name[i:])
		if r != utf8.RuneError && !(top && i == 0 && name == MetaName) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(name[i : i+n]) {
			fmt.Fprintf(&b, "\uFFFD%02X", c)
		}
	}
	return b.String()
}

// at returns what is kept of a path beside the tree.
func (x *extractor) at(p string) *Entry {
	if x.extra[p] == nil {
		x.extra[p] = &Entry{Path: p}
	}
	return x.extra[p]
}

// link notes a hard link. A symlink stands in for it, so that the tree can be read without this package.
func (x *extractor) link(p string, m stream.Meta, h *tar.Header) error {
	to, err := x.encodePath(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", h.Linkname, err)
	}
	if kind, known := x.kinds[to]; !known || kind == tar.TypeDir || to == p {
		return fmt.Errorf("hard link to %q, which did not come before", h.Linkname)
	}
	if e := x.extra[to]; e != nil && e.LinkTo != "" {
		to = e.LinkTo
	}
	e := x.at(p)
	e.LinkTo = to
	if first := x.extra[to]; first != nil && first.Device != nil {
		return nil
	}
	return x.dst.Symlink(p, relative(p, to), m)
}

// relative returns how a symlink at from must be written to lead to to.
func relative(from, to string) string {
	return strings.Repeat("../", strings.Count(from, "/")) + to
}

// Keys of the records in which tar stores attributes.
const (
	xattrRecord      = "SCHILY.xattr."
	accessRecord     = "SCHILY.acl.access"
	defaultRecord    = "SCHILY.acl.default"
	selinuxRecord    = "RHT.security.selinux"
	selinuxAttribute = "security.selinux"
	accessAttribute  = "system.posix_acl_access"
	defaultAttribute = "system.posix_acl_default"
)

// keepAttributes notes the extended attributes and ACLs of an entry. An ACL in binary form has numeric owners and is
// preferred to the same as text.
func (x *extractor) keepAttributes(p string, h *tar.Header) {
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok {
			x.at(p).setXattr(name, []byte(value))
		}
	}
	if label, ok := h.PAXRecords[selinuxRecord]; ok {
		x.at(p).setXattr(selinuxAttribute, []byte(label))
	}
	for key, attribute := range map[string]string{accessRecord: accessAttribute, defaultRecord: defaultAttribute} {
		text, ok := h.PAXRecords[key]
		if !ok || text == "" {
			continue
		}
		e := x.at(p)
		if _, binary := e.Xattrs[attribute]; binary {
			continue
		}
		if acl, err := encodeACL(text); err == nil {
			e.setXattr(attribute, acl)
		} else {
			e.ACLs = append(e.ACLs, ACL{Attribute: attribute, Text: text})
		}
	}
}
