package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

// Lock takes the writer's lock of one source, which the kernel drops when the process dies, and announces the writer in the
// vault. When somebody holds the lock, or has the vault alone, it returns a problem of kind Busy at once that names the
// holder's process. Readers need no lock. A vault on this host's filesystem has its locks with it; those of another are in the
// state directory, and hold on this host alone.
func (v *Vault) Lock(source string) (unlock func(), err error) { return v.lock(leaseWrite, source) }

// LockEverywhere is Lock that excludes whoever takes it on another host too. When that one is killed, it is free some minutes later.
func (v *Vault) LockEverywhere(what string) (unlock func(), err error) {
	return v.lock(leaseCopy, what)
}

func (v *Vault) lock(kind, source string) (unlock func(), err error) {
	release, err := v.flock(source)
	if err != nil {
		return nil, err
	}
	end, err := v.announce(kind, source)
	if err != nil {
		release()
		return nil, problem.Wrap(err, "lock "+source+" in vault", v.loc.URL)
	}
	return func() { end(); release() }, nil
}

// announce puts a writer's lease into the vault. Where there is no room for one the writer will soon find out.
func (v *Vault) announce(kind, source string) (end func(), err error) {
	l, err := v.lease(context.Background(), kind, source)
	if err != nil {
		return nil, v.full(err)
	}
	return l.Release, nil
}

func (v *Vault) flock(source string) (unlock func(), err error) {
	dir := v.lockDir()
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

func (v *Vault) lockDir() string {
	if v.store.root == "" {
		return filepath.Join(v.cache, "locks")
	}
	return filepath.Join(v.store.root, ownDir)
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
