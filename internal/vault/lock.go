package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

// Lock takes the writer's lock of one source, which the kernel drops when the process dies. When somebody holds it, it
// returns a problem of kind Busy at once that names the holder's process. Readers need no lock.
func (v *Vault) Lock(source string) (unlock func(), err error) {
	dir := filepath.Join(v.store.root, ownDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, "lock", source)
	}
	f, err := os.OpenFile(filepath.Join(dir, strings.ReplaceAll(source, "/", "_")+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, "lock", source)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer f.Close()
		return nil, busy(v.loc.URL, source, f)
	case err != nil:
		f.Close()
		return nil, problem.Wrap(err, "lock", source)
	}
	if err := sign(f); err != nil {
		f.Close()
		return nil, problem.Wrap(err, "lock", source)
	}
	return func() { f.Close() }, nil
}

// sign writes who holds the lock.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d", os.Getpid())
	return err
}

func busy(url, source string, f io.Reader) error {
	holder := "another process"
	if pid, err := io.ReadAll(io.LimitReader(f, 20)); err == nil && len(pid) > 0 {
		holder = "process " + string(pid)
	}
	return problem.New(problem.Busy, "wait until it ends, or look at it with: ps -p PID",
		"%s in vault %s is locked by %s", source, url, holder)
}
