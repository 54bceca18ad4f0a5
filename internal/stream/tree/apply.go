package tree

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Apply gives a restored tree in dir what the tree itself could not hold. It never follows a symlink out of dir, does
// as much as it can, and returns everything that it could not do. Names are restored last; before, everything is found
// under its name in the tree. Directories keep their times.
func (m Meta) Apply(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open restored tree: %w", err)
	}
	defer root.Close()
	a := applier{root}
	var errs []error
	for _, step := range []func(Entry) error{a.device, a.link, a.attributes} {
		for _, e := range m.Entries {
			errs = append(errs, step(e))
		}
	}
	for _, e := range deepestFirst(m.Entries) {
		errs = append(errs, a.rename(e))
	}
	return errors.Join(errs...)
}

func deepestFirst(entries []Entry) []Entry {
	depth := func(e Entry) int { return strings.Count(e.Path, "/") }
	return slices.SortedStableFunc(slices.Values(entries), func(a, b Entry) int { return depth(b) - depth(a) })
}

type applier struct{ root *os.Root }

// inParent runs do with the directory of p and sets the directory's times back afterwards.
func (a applier) inParent(p string, do func(dir *os.File) error) error {
	dir, err := a.root.Open(path.Dir(p))
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if err := do(dir); err != nil {
		return err
	}
	return a.root.Chtimes(path.Dir(p), time.Time{}, info.ModTime())
}

func (a applier) device(e Entry) error {
	if e.Device == nil {
		return nil
	}
	d := e.Device
	err := a.inParent(e.Path, func(dir *os.File) error {
		name := path.Base(e.Path)
		if err := unix.Mknodat(int(dir.Fd()), name, d.Mode, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
			return err
		}
		if err := unix.Fchownat(int(dir.Fd()), name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		return unix.Fchmodat(int(dir.Fd()), name, d.Mode&0o7777, 0)
	})
	return about("make device", e.Path, err)
}

func (a applier) link(e Entry) error {
	if e.LinkTo == "" {
		return nil
	}
	err := a.inParent(e.Path, func(*os.File) error {
		info, err := a.root.Lstat(e.Path)
		if err == nil && info.Mode().Type() != os.ModeSymlink {
			return errors.New("something else than its symlink stands there")
		}
		if err == nil {
			err = a.root.Remove(e.Path)
		}
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		return a.root.Link(e.LinkTo, e.Path)
	})
	return about("link", e.Path, err)
}

// attributes sets extended attributes by a path through the open parent, since only by path can those of a symlink
// be set, and only through an open directory can nobody lead the path elsewhere.
func (a applier) attributes(e Entry) error {
	if len(e.Xattrs) == 0 && len(e.ACLs) == 0 {
		return nil
	}
	dir, err := a.root.Open(path.Dir(e.Path))
	if err != nil {
		return about("set attributes", e.Path, err)
	}
	defer dir.Close()
	at := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), path.Base(e.Path))
	var errs []error
	for name, value := range e.Xattrs {
		errs = append(errs, about("set "+name, e.Path, unix.Lsetxattr(at, name, value, 0)))
	}
	for _, acl := range e.ACLs {
		errs = append(errs, about("set ACL", e.Path, fmt.Errorf("its owners are names: %q", acl.Text)))
	}
	return errors.Join(errs...)
}

func (a applier) rename(e Entry) error {
	if len(e.Name) == 0 {
		return nil
	}
	err := a.inParent(e.Path, func(*os.File) error {
		to := path.Join(path.Dir(e.Path), string(e.Name))
		if _, err := a.root.Lstat(to); err == nil {
			return fmt.Errorf("%q is there already", e.Name)
		}
		return a.root.Rename(e.Path, to)
	})
	return about("rename", e.Path, err)
}

func about(what, p string, err error) error {
	if err != nil {
		return fmt.Errorf("%s of %q: %w", what, p, err)
	}
	return nil
}
