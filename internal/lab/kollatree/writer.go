package kollatree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Numeric owners, the ones of Kolla's images.
const (
	root     = 0
	cinder   = 42407
	keystone = 42425
	mysql    = 42434
	nova     = 42436
	octavia  = 42437
	rabbitmq = 42439
	etcd     = 42413
)

// writer writes files. The first error sticks and silences everything after it.
type writer struct {
	spec       Spec
	tree       Tree
	passwords  map[string]string
	keys       map[string]keyPair
	fernetKeys []string
	err        error
}

// do runs f unless something failed before.
func (w *writer) do(what string, f func() error) {
	if w.err != nil {
		return
	}
	if err := f(); err != nil {
		w.err = fmt.Errorf("%s: %w", what, err)
	}
}

// try is do for what this machine may not be able to do; it is noted and goes on.
func (w *writer) try(what string, f func() error) {
	w.do(what, func() error {
		err := f()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EILSEQ) {
			w.tree.Lacking = append(w.tree.Lacking, what)
			return nil
		}
		return err
	})
}

// dir makes a directory, whose parents get the same mode.
func (w *writer) dir(path string, mode os.FileMode, owner int) {
	w.do("make directory", func() error { return os.MkdirAll(path, mode) })
	w.own(path, mode, owner)
}

// file writes a file; parents that do not exist get 0770 as Kolla gives them.
func (w *writer) file(path string, mode os.FileMode, owner int, text string) {
	w.do("write file", func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o600)
	})
	w.own(path, mode, owner)
}

// own sets mode and owner; only root can give files away.
func (w *writer) own(path string, mode os.FileMode, owner int) {
	if owner != root || os.Geteuid() == 0 {
		w.try("change owner", func() error { return os.Chown(path, owner, owner) })
	}
	w.do("change mode", func() error { return os.Chmod(path, mode) })
}

// ignored writes a file that no backup should carry.
func (w *writer) ignored(path string, owner int, text string) {
	w.file(path, 0o644, owner, text)
	w.tree.Ignored = append(w.tree.Ignored, path)
}

// socket makes the name of a unix socket, which nobody listens on.
func (w *writer) socket(path string) {
	w.do("make socket", func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
			return err
		}
		return unix.Mknod(path, unix.S_IFSOCK|0o660, 0)
	})
	w.tree.Ignored = append(w.tree.Ignored, path)
}

func (w *writer) symlink(target, path string) {
	w.do("make symlink", func() error { return os.Symlink(target, path) })
}
