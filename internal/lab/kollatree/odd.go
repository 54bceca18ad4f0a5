package kollatree

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// oddities writes what tar keeps only when asked to, and what a format of plain names cannot hold.
func (w *writer) oddities(dir string) {
	w.file(dir+"/one", 0o640, root, "one file, two names\n")
	w.do("make hard link", func() error { return os.Link(dir+"/one", dir+"/two") })
	w.file(dir+"/attributes", 0o644, root, "carries user.origin\n")
	w.try("set extended attribute", func() error {
		return unix.Lsetxattr(dir+"/attributes", "user.origin", []byte("lab\x00\xff"), 0)
	})
	w.file(dir+"/acl", 0o640, root, "mysql may read\n")
	w.try("set ACL", func() error { return unix.Lsetxattr(dir+"/acl", "system.posix_acl_access", accessFor(mysql), 0) })
	for _, name := range []string{"new\nline", "not-utf8-\xff\xfe", " leading and trailing ", "-rf", "größe 表 🦭", `back\slash "quoted" $(name)`} {
		w.try("make file with an odd name", func() error {
			w.tree.Odd = append(w.tree.Odd, dir+"/"+name)
			return os.WriteFile(dir+"/"+name, []byte("odd name\n"), 0o600)
		})
	}
	w.dir(dir+"/empty", 0o750, root)
	w.file(dir+"/nothing", 0o600, root, "")
	w.file(dir+"/setuid", 0o755|os.ModeSetuid, root, "#!/bin/sh\n")
	w.file(dir+"/no-mode", 0, root, "root alone reads this\n")
	w.sparse(dir + "/sparse")
	for _, name := range []string{"one", "two", "attributes", "acl", "empty", "nothing", "setuid", "no-mode", "sparse"} {
		w.tree.Odd = append(w.tree.Odd, dir+"/"+name)
	}
}

// sparse makes a file of 64 MiB that takes a few blocks.
func (w *writer) sparse(path string) {
	w.file(path, 0o600, root, "head")
	w.do("make sparse file", func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("middle"), 32<<20); err != nil {
			return err
		}
		return f.Truncate(64 << 20)
	})
}

// accessFor is a POSIX ACL, as the kernel stores it, that lets one more user read a file of mode 0640.
func accessFor(uid uint32) []byte {
	const nobody = 0xffffffff
	acl := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, nobody}, {2, 4, uid}, {4, 4, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.perm)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	return acl
}
