package vault

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const scratchPrefix = "fresh-"

// scratch makes a directory that is gone after remove, or with the next scratch after a kill: who has one holds a lock on it.
func (v *Vault) scratch() (dir string, remove func(), err error) {
	left, err := filepath.Glob(filepath.Join(v.cache, scratchPrefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, dir := range left {
		if unlock, err := lockDirectory(dir); err == nil {
			os.RemoveAll(dir)
			unlock()
		}
	}
	for range 3 { // another's sweep may be quicker than our lock
		if dir, err = os.MkdirTemp(v.cache, scratchPrefix); err != nil {
			return "", nil, err
		}
		unlock, lerr := lockDirectory(dir)
		if lerr == nil {
			return dir, func() { os.RemoveAll(dir); unlock() }, nil
		}
		err = errors.Join(lerr, os.RemoveAll(dir))
	}
	return "", nil, err
}

func lockDirectory(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
